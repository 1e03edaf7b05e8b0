// The perceptron on a CPU, forward and backward as one node each: on networks this small a framework's cost per
// operation is that of a whole layer.  The matrix products are BLAS's, the first layer adds rows of its weight
// instead of multiplying by one-hots.
#include <algorithm>

#include "tightrope/policies/mlp_heads.hpp"

extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

namespace tightrope {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kZero = 0, kOne = 1;

// Row-major products; BLAS is column-major and sees every matrix transposed.
// y (n,out) += x (n,in) w (in,out)
void add_product(const float* x, const float* w, float* y, int n, int in, int out) {
  sgemm_("N", "N", &out, &n, &in, &kOne, w, &out, x, &in, &kOne, y, &out);
}
// dx (n,in) = dy (n,out) w^T
void product_with_transpose(const float* dy, const float* w, float* dx, int n, int in, int out) {
  sgemm_("T", "N", &in, &n, &out, &kOne, w, &out, dy, &out, &kZero, dx, &in);
}
// dw (in,out) = x^T (in,n) dy (n,out)
void product_of_transpose(const float* x, const float* dy, float* dw, int n, int in, int out) {
  sgemm_("N", "T", &out, &in, &n, &kOne, dy, &out, x, &in, &kZero, dw, &out);
}

void add_row(const float* __restrict from, float* __restrict to, int64_t width) {
  for (int64_t j = 0; j < width; ++j) to[j] += from[j];
}

void relu(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = std::max(values[i], 0.0F);
}

void sum_rows(const float* rows, int64_t count, int64_t width, float* sum) {
  std::fill_n(sum, width, 0.0F);
  for (int64_t i = 0; i < count; ++i) add_row(rows + i * width, sum, width);
}

struct Net {
  explicit Net(at::ArrayRef<Tensor> parameters)
      : layers(static_cast<int64_t>(parameters.size()) / 2 - 1),
        features(parameters[0].size(0)),
        width(parameters[0].size(1)),
        outputs(parameters.back().size(0)) {
    for (const Tensor& parameter : parameters) values.push_back(parameter.const_data_ptr<float>());
  }
  const float* weight(int64_t layer) const { return values[static_cast<size_t>(2 * layer)]; }
  const float* bias(int64_t layer) const { return values[static_cast<size_t>(2 * layer + 1)]; }

  int64_t layers, features, width, outputs;
  std::vector<const float*> values;
};

void fill_rows(const float* row, int64_t rows, int64_t width, float* out) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(row, width, out + i * width);
}

void first_layer(const Net& net, const Tensor& active, float* out) {
  const int64_t rows = active.size(0), slots = active.size(1);
  const int32_t* feature = active.const_data_ptr<int32_t>();
  fill_rows(net.bias(0), rows, net.width, out);
  for (int64_t i = 0; i < rows; ++i, feature += slots)
    for (int64_t f = 0; f < slots; ++f)
      if (feature[f] >= 0) add_row(net.weight(0) + feature[f] * net.width, out + i * net.width, net.width);
  relu(out, rows * net.width);
}

// hidden (L,N,W) is filled; returns (N,O).
Tensor forward_pass(const Net& net, const Tensor& active, float* hidden) {
  const int64_t rows = active.size(0), block = rows * net.width;
  const int n = static_cast<int>(rows), width = static_cast<int>(net.width);
  first_layer(net, active, hidden);
  for (int64_t layer = 1; layer < net.layers; ++layer) {
    float* const out = hidden + layer * block;
    fill_rows(net.bias(layer), rows, net.width, out);
    add_product(hidden + (layer - 1) * block, net.weight(layer), out, n, width, width);
    relu(out, block);
  }
  Tensor heads = at::empty({rows, net.outputs}, at::kFloat);
  auto* const out = heads.mutable_data_ptr<float>();
  fill_rows(net.bias(net.layers), rows, net.outputs, out);
  add_product(hidden + (net.layers - 1) * block, net.weight(net.layers), out, n, width, static_cast<int>(net.outputs));
  return heads;
}

class Heads : public torch::autograd::Function<Heads> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& active, at::TensorList parameters) {
    const Net net(parameters);
    const Tensor hidden = at::empty({net.layers, active.size(0), net.width}, at::kFloat);
    Tensor heads = forward_pass(net, active, hidden.mutable_data_ptr<float>());
    variable_list saved(parameters.begin(), parameters.end());
    saved.insert(saved.end(), {active, hidden});
    context->save_for_backward(saved);
    return heads;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    const Tensor hidden = saved.back(), active = saved[saved.size() - 2];
    saved.resize(saved.size() - 2);
    const Net net(saved);
    variable_list out(saved.size() + 1);
    for (size_t i = 0; i < saved.size(); ++i) out[i + 1] = at::empty_like(saved[i]);
    backward_pass(net, active, hidden.const_data_ptr<float>(), gradients[0].contiguous(), out);
    return out;
  }

 private:
  // out[1 + i] is the gradient of parameter i.
  static void backward_pass(const Net& net, const Tensor& active, const float* hidden, const Tensor& gradient,
                            const variable_list& out) {
    const int64_t rows = active.size(0), block = rows * net.width;
    const int n = static_cast<int>(rows), width = static_cast<int>(net.width);
    const Tensor scratch = at::empty({2, block}, at::kFloat);
    float *below = scratch.mutable_data_ptr<float>(), *spare = below + block;
    const float* above = gradient.const_data_ptr<float>();
    for (int64_t layer = net.layers; layer >= 1; --layer) {
      const int outputs = layer == net.layers ? static_cast<int>(net.outputs) : width;
      const float* const input = hidden + (layer - 1) * block;
      product_of_transpose(input, above, out[size(layer)].mutable_data_ptr<float>(), n, width, outputs);
      sum_rows(above, rows, outputs, out[size(layer) + 1].mutable_data_ptr<float>());
      product_with_transpose(above, net.weight(layer), below, n, width, outputs);
      for (int64_t i = 0; i < block; ++i) below[i] = input[i] > 0 ? below[i] : 0;
      above = below;
      std::swap(below, spare);
    }
    sum_rows(above, rows, net.width, out[2].mutable_data_ptr<float>());
    auto* const table = out[1].mutable_data_ptr<float>();
    std::fill_n(table, net.features * net.width, 0.0F);
    const int64_t slots = active.size(1);
    const int32_t* feature = active.const_data_ptr<int32_t>();
    for (int64_t i = 0; i < rows; ++i, feature += slots)
      for (int64_t f = 0; f < slots; ++f)
        if (feature[f] >= 0) add_row(above + i * net.width, table + feature[f] * net.width, net.width);
  }

  static size_t size(int64_t layer) { return static_cast<size_t>(2 * layer + 1); }  // of its weight in `out`
};

}  // namespace

Tensor mlp_heads_cpu(const std::vector<Tensor>& parameters, const Tensor& active) {
  if (at::GradMode::is_enabled()) return Heads::apply(active, at::TensorList(parameters));
  thread_local std::vector<float> hidden;  // the sampler calls this for every transition
  const Net net(parameters);
  hidden.resize(static_cast<size_t>(net.layers * active.size(0) * net.width));
  return forward_pass(net, active, hidden.data());
}

}  // namespace tightrope
