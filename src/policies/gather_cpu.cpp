// The first layer on a CPU: adds rows of the weight instead of multiplying by one-hots.
#include <algorithm>

#include "tightrope/policies/mlp.hpp"

namespace tightrope {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void add_row(const float* __restrict from, float* __restrict to, int64_t width) {
  for (int64_t j = 0; j < width; ++j) to[j] += from[j];
}

Tensor forward_sum(const Tensor& table, const Tensor& bias, const Tensor& active) {
  const int64_t rows = active.size(0), slots = active.size(1), width = table.size(1);
  Tensor out = at::empty({rows, width}, table.options());
  const float* const weight = table.const_data_ptr<float>();
  const float* const offset = bias.const_data_ptr<float>();
  const int32_t* feature = active.const_data_ptr<int32_t>();
  float* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i, to += width, feature += slots) {
    std::copy_n(offset, width, to);
    for (int64_t f = 0; f < slots; ++f)
      if (feature[f] >= 0) add_row(weight + feature[f] * width, to, width);
  }
  return out;
}

class GatherSum : public torch::autograd::Function<GatherSum> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& table, const Tensor& bias, const Tensor& active) {
    context->save_for_backward({active});
    context->saved_data["features"] = table.size(0);
    return forward_sum(table, bias, active);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor active = context->get_saved_variables()[0];
    const Tensor gradient = gradients[0].contiguous();
    const int64_t rows = active.size(0), slots = active.size(1), width = gradient.size(1);
    Tensor table = at::zeros({context->saved_data["features"].toInt(), width}, gradient.options());
    float* const weight = table.mutable_data_ptr<float>();
    const int32_t* feature = active.const_data_ptr<int32_t>();
    const float* from = gradient.const_data_ptr<float>();
    for (int64_t i = 0; i < rows; ++i, from += width, feature += slots)
      for (int64_t f = 0; f < slots; ++f)
        if (feature[f] >= 0) add_row(from, weight + feature[f] * width, width);
    return {table, gradient.sum(0), Tensor()};
  }
};

}  // namespace

Tensor gather_sum(const Tensor& table, const Tensor& bias, const Tensor& active) {
  if (!at::GradMode::is_enabled()) return forward_sum(table, bias, active);
  return GatherSum::apply(table, bias, active);
}

}  // namespace tightrope
