#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/tasks/masked_pick.hpp"

namespace tightrope {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// probability (W) over the valid, zero where nothing is valid (the source has no parent, an end no child); returns the
// log of the normaliser, to be taken from a logit.
double masked_softmax(const float* logits, const uint8_t* valid, int64_t width, float* probability) {
  float top = -std::numeric_limits<float>::infinity();
  for (int64_t a = 0; a < width; ++a)
    if (valid[a]) top = std::max(top, logits[a]);
  double total = 0;
  for (int64_t a = 0; a < width; ++a) {
    probability[a] = valid[a] ? std::exp(logits[a] - top) : 0.0F;
    total += probability[a];
  }
  const auto scale = static_cast<float>(total > 0 ? 1 / total : 0);
  for (int64_t a = 0; a < width; ++a) probability[a] *= scale;
  return top + std::log(total);
}

class MaskedLogProb : public torch::autograd::Function<MaskedLogProb> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& heads, int64_t column, const Tensor& valid,
                        const Tensor& row, const Tensor& action) {
    const int64_t rows = heads.size(0), outputs = heads.size(1), width = valid.size(1);
    const auto* const values = heads.const_data_ptr<float>();
    Tensor probability = at::empty({rows, width}, at::kFloat);
    std::vector<double> normaliser(static_cast<size_t>(rows));
    for (int64_t u = 0; u < rows; ++u)
      normaliser[static_cast<size_t>(u)] =
          masked_softmax(values + u * outputs + column, valid.const_data_ptr<uint8_t>() + u * width, width,
                         probability.mutable_data_ptr<float>() + u * width);
    Tensor out = at::zeros(row.sizes(), at::kDouble);
    const auto *row_of = row.const_data_ptr<int32_t>(), *action_of = action.const_data_ptr<int32_t>();
    auto* const log_prob = out.mutable_data_ptr<double>();
    for (int64_t i = 0; i < row.numel(); ++i) {
      if (row_of[i] < 0) continue;
      log_prob[i] = values[row_of[i] * outputs + column + action_of[i]] - normaliser[static_cast<size_t>(row_of[i])];
    }
    context->save_for_backward({probability, row, action});
    context->saved_data["column"] = column;
    context->saved_data["outputs"] = outputs;
    return out;
  }

  // d log p(a) / d logit(j) = [j = a] - p(j): transitions of one row share the second term.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &probability = saved[0], &row = saved[1], &action = saved[2];
    const int64_t column = context->saved_data["column"].toInt(), outputs = context->saved_data["outputs"].toInt();
    const int64_t rows = probability.size(0), width = probability.size(1);
    const Tensor gradient = gradients[0].to(at::kDouble).contiguous();
    Tensor out = at::zeros({rows, outputs}, at::kFloat);
    auto* const logits = out.mutable_data_ptr<float>() + column;
    std::vector<double> total(static_cast<size_t>(rows), 0.0);
    const auto *row_of = row.const_data_ptr<int32_t>(), *action_of = action.const_data_ptr<int32_t>();
    const auto* const above = gradient.const_data_ptr<double>();
    for (int64_t i = 0; i < row.numel(); ++i) {
      if (row_of[i] < 0) continue;
      total[static_cast<size_t>(row_of[i])] += above[i];
      logits[row_of[i] * outputs + action_of[i]] += static_cast<float>(above[i]);
    }
    const auto* const p = probability.const_data_ptr<float>();
    for (int64_t u = 0; u < rows; ++u) {
      const auto g = static_cast<float>(total[static_cast<size_t>(u)]);
      for (int64_t a = 0; a < width; ++a) logits[u * outputs + a] -= g * p[u * width + a];
    }
    return {out, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor masked_log_prob(const Tensor& heads, int64_t column, const Tensor& valid, const Tensor& row,
                       const Tensor& action) {
  return MaskedLogProb::apply(heads, column, valid, row, action);
}

}  // namespace tightrope
