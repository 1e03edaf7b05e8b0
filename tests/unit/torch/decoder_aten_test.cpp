// What computes off the CPU, run on it: the same values as the CPU's own kernels.
#include "../../../src/policies/decoder_aten.hpp"

#include <gtest/gtest.h>

#include "../../../src/policies/decoder_kernels.hpp"
#include "../../../src/policies/decoder_products.hpp"
#include "../../../src/policies/tree_attention_aten.hpp"
#include "decoder_fixture.hpp"
#include "tightrope/policies/mlp_heads.hpp"

namespace tightrope::decoder_tests {
namespace {

Tensor random(std::vector<int64_t> shape, at::ScalarType type = at::kFloat) {
  static uint64_t id = 0;
  ++id;
  Tensor values = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.mutable_data_ptr<float>()[i] = static_cast<float>(normal(3, Stream::weights, id, static_cast<uint32_t>(i)));
  return values.to(type);
}

// Relative to the largest value: rounding of float32, or of bfloat16 twice.
void expect_same(const Tensor& found, const Tensor& wanted, const char* what) {
  ASSERT_EQ(found.sizes(), wanted.sizes()) << what;
  const double tolerance = wanted.scalar_type() == at::kBFloat16 ? 0x1p-7 : 1e-5;
  EXPECT_LE(largest(found.to(at::kFloat) - wanted.to(at::kFloat)), tolerance * largest(wanted.to(at::kFloat))) << what;
}

class Aten : public testing::TestWithParam<at::ScalarType> {
 protected:
  const at::NoGradGuard no_grad;
  const at::ScalarType narrow = GetParam();
};

INSTANTIATE_TEST_SUITE_P(Types, Aten, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& which) { return std::string(c10::toString(which.param)); });

TEST_P(Aten, RowKernels) {
  const Tensor x = random({37, 44}), w = random({44}), dy = random({37, 44}, narrow);
  const Tensor y = at::empty({37, 44}, narrow), other = at::empty_like(y);
  rms_norm(x, w, 1e-5, y);
  aten::rms_norm(x, w, 1e-5, other);
  expect_same(other, y, "rms_norm");
  const Tensor dx = random({37, 44}), dw = random({44}), other_dx = dx.clone(), other_dw = dw.clone();
  rms_norm_backward(x, w, 1e-5, dy, dx, dw);
  aten::rms_norm_backward(x, w, 1e-5, dy, other_dx, other_dw);
  expect_same(other_dx, dx, "dx of rms_norm");
  expect_same(other_dw, dw, "dw of rms_norm");

  const Tensor gate_up = random({37, 140}, narrow), d = random({37, 70}, narrow);
  const Tensor out = at::empty({37, 70}, narrow), other_out = at::empty_like(out);
  const Tensor d_gate_up = at::empty_like(gate_up), other_d = at::empty_like(gate_up);
  swiglu(gate_up, out);
  aten::swiglu(gate_up, other_out);
  expect_same(other_out, out, "swiglu");
  swiglu_backward(gate_up, d, d_gate_up);
  aten::swiglu_backward(gate_up, d, other_d);
  expect_same(other_d, d_gate_up, "gradient of swiglu");
}

TEST_P(Aten, Products) {
  const Tensor x = random({37, 44}, narrow), w = random({70, 44}, narrow);
  for (const at::ScalarType type : {at::kFloat, narrow}) {
    const Tensor y = at::empty({37, 70}, type), other = at::empty_like(y);
    product(x, w, y);
    aten::multiply(x, w.t(), other, /*add=*/false);
    expect_same(other, y, "product");
  }
  const Tensor sum = random({37, 70}), other = sum.clone();
  add_product(x, w, sum);
  aten::multiply(x, w.t(), other, /*add=*/true);
  expect_same(other, sum, "add_product");
}

TEST_P(Aten, Head) {
  const Tensor h = random({29, 44}, narrow), w = random({4099, 44}, narrow);
  const HeadEntries entries{at::tensor({0, 28, 7, 7, 13}, at::kLong), at::tensor({4098, 0, 17, 2500, 17}, at::kLong)};
  const HeadResult wanted = head_log_probs(h, w, entries, 1.5, true);
  const HeadResult found = aten::head_log_probs(h, w, entries, 1.5, true);
  // Logits of bfloat16 products are rounded here, and less a shift there.
  const double tolerance = narrow == at::kFloat ? 1e-5 : 0.02;
  EXPECT_LE(largest(found.log_prob - wanted.log_prob), tolerance * largest(wanted.log_prob));
  EXPECT_LE(largest(found.log_normaliser - wanted.log_normaliser), tolerance * largest(wanted.log_normaliser));
  EXPECT_LE(largest(found.entropy - wanted.entropy), tolerance * largest(wanted.entropy));
  const Tensor gradient = random({5}), dw = random({4099, 44}), other_dw = dw.clone();
  const Tensor dh = head_backward(h, w, entries, 1.5, wanted.log_normaliser, gradient, dw);
  const Tensor other = aten::head_backward(h, w, entries, 1.5, wanted.log_normaliser, gradient, other_dw);
  EXPECT_LE(largest(other - dh), tolerance * largest(dh));
  EXPECT_LE(largest(other_dw - dw), tolerance * largest(dw));
}

// 2^27 / 4'000'000 = 33 rows at a time.
TEST(AtenHead, BlocksOfRowsEqualTheWhole) {
  const at::NoGradGuard no_grad;
  const Tensor h = random({70, 4}), w = random({1000, 4}).repeat({4000, 1});
  const HeadEntries entries{at::tensor({69, 0, 33, 32, 66}, at::kLong), at::tensor({3999999, 0, 2, 5, 7}, at::kLong)};
  const HeadResult found = aten::head_log_probs(h, w, entries, 1, true);
  const Tensor z = at::mm(h, w.slice(0, 0, 1000).t());
  const Tensor normaliser = z.logsumexp(1) + std::log(4000.0);
  expect_same(found.log_normaliser, normaliser, "normaliser");
  const Tensor token = entries.target % 1000;
  expect_same(found.log_prob, z.index({entries.row, token}) - normaliser.index_select(0, entries.row), "log-probs");
}

TEST_P(Aten, Attention) {
  for (const auto& [name, config] : small_configs()) {
    const Scored batch = scored(sample_sequences());
    const int64_t nodes = batch.tree.nodes();
    const Tensor qkv = random({nodes, (config.heads + 2 * config.kv_heads) * config.head_size}, narrow);
    const Tensor d = random({nodes, config.heads * config.head_size}, narrow);
    const Tensor out = at::empty_like(d), other = at::empty_like(d);
    const Tensor d_qkv = at::empty_like(qkv), other_d = at::empty_like(qkv);
    const TreeAttention own(config, batch.tree, at::kCPU);
    const aten::TreeAttention attention(config, batch.tree, own.cosine(), own.sine(), at::kCPU);
    own.forward(qkv, out);
    attention.forward(qkv, other);
    expect_same(other, out, name.c_str());
    own.backward(qkv, d, d_qkv);
    attention.backward(qkv, d, other_d);
    expect_same(other_d, d_qkv, name.c_str());
  }
}

TEST(AtenMlp, HeadsAndTheirGradients) {
  const int64_t features = 12, width = 9, outputs = 5;
  std::vector<Tensor> parameters = {random({features, width}), random({width}),          random({width, width}),
                                    random({width}),           random({width, outputs}), random({outputs})};
  const Tensor active = at::tensor({0, 5, 11, -1, 3, 3, -1, -1}, at::kInt).view({4, 2}), weights = random({4, outputs});
  std::vector<Tensor> gradients[2];
  Tensor heads[2];
  for (int which = 0; which < 2; ++which) {
    for (Tensor& parameter : parameters) parameter = parameter.detach().clone().set_requires_grad(true);
    heads[which] = which == 0 ? mlp_heads_cpu(parameters, active) : mlp_heads_aten(parameters, active);
    (heads[which] * weights).sum().backward();
    for (const Tensor& parameter : parameters) gradients[which].push_back(parameter.grad());
  }
  expect_same(heads[1].detach(), heads[0].detach(), "heads");
  for (size_t i = 0; i < parameters.size(); ++i) expect_same(gradients[1][i], gradients[0][i], "gradient");
}

}  // namespace
}  // namespace tightrope::decoder_tests
