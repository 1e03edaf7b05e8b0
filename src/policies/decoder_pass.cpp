#include "decoder_pass.hpp"

#include <ATen/ATen.h>

#include "decoder_kernels.hpp"
#include "decoder_products.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

Tensor in_float(const Tensor& values) { return values.to(at::kFloat); }

// The gradient of a bias (out) that was added to every row.
void add_bias_gradient(const Tensor& dy, const Tensor& bias) {
  if (bias.defined()) bias.add_(dy.sum(0, /*keepdim=*/false, at::kFloat));
}

}  // namespace

DecoderViews::DecoderViews(const DecoderConfig& config, const Tensor& flat) {
  int64_t offset = 0;
  const auto vector = [&](int64_t size) {
    offset += size;
    return flat.narrow(0, offset - size, size);
  };
  const auto matrix = [&](int64_t rows, int64_t columns) { return vector(rows * columns).view({rows, columns}); };
  const int64_t hidden = config.hidden, attended = config.heads * config.head_size;
  const int64_t projected = attended + 2 * config.kv_heads * config.head_size;
  embedding = matrix(config.vocabulary, hidden);
  for (int64_t l = 0; l < config.layers; ++l) {
    Layer& layer = layers.emplace_back();
    layer.offset = offset;
    layer.input_norm = vector(hidden);
    layer.qkv = matrix(projected, hidden);
    if (config.attention_bias) layer.qkv_bias = vector(projected);
    layer.o = matrix(hidden, attended);
    if (config.attention_bias) layer.o_bias = vector(hidden);
    layer.post_norm = vector(hidden);
    layer.gate_up = matrix(2 * config.ffn, hidden);
    layer.down = matrix(hidden, config.ffn);
  }
  norm_offset = offset;
  norm = vector(hidden);
  head = config.tied ? embedding : matrix(config.vocabulary, hidden);
  EXPECT(offset == flat.size(0));
}

DecoderPass::DecoderPass(const DecoderConfig& config, const Tensor& flat, const Tensor& rounded, const TokenTree& tree)
    : config_(config),
      tree_(tree),
      attention_(config, tree, flat.device()),
      full_(config, flat),
      rounded_(config, rounded),
      tokens_(at::tensor(at::ArrayRef<int32_t>(tree.token)).to(flat.device(), at::kLong)) {}

Tensor DecoderPass::narrow(int64_t width) const { return at::empty({tree_.nodes(), width}, rounded_.head.options()); }

DecoderPass::Kept DecoderPass::room() const {
  const int64_t attended = config_.heads * config_.head_size;
  Kept kept;
  kept.in = at::empty({tree_.nodes(), config_.hidden}, full_.norm.options().dtype(at::kFloat));
  kept.middle = at::empty_like(kept.in);
  kept.qkv = narrow(attended + 2 * config_.kv_heads * config_.head_size);
  kept.attended = narrow(attended);
  kept.gate_up = narrow(2 * config_.ffn);
  return kept;
}

Tensor DecoderPass::forward(bool keep) {
  kept_.clear();
  Kept kept = room();
  Tensor out = at::empty_like(kept.in);
  kept.in.copy_(full_.embedding.index_select(0, tokens_));
  for (size_t layer = 0; layer < full_.layers.size(); ++layer) {
    forward_layer(layer, kept, out);
    if (keep) {
      kept_.push_back(std::move(kept));
      kept = room();
    }
    std::swap(kept.in, out);
  }
  return kept.in;
}

void DecoderPass::forward_layer(size_t layer, const Kept& kept, const Tensor& out) const {
  const DecoderViews::Layer &full = full_.layers[layer], &rounded = rounded_.layers[layer];
  const Tensor normed = narrow(config_.hidden), activated = narrow(config_.ffn);
  rms_norm(kept.in, in_float(full.input_norm), config_.norm_epsilon, normed);
  product(normed, rounded.qkv, kept.qkv);
  if (full.qkv_bias.defined()) kept.qkv.add_(full.qkv_bias);
  attention_.forward(kept.qkv, kept.attended);
  kept.middle.copy_(kept.in);
  add_product(kept.attended, rounded.o, kept.middle);
  if (full.o_bias.defined()) kept.middle.add_(full.o_bias);
  rms_norm(kept.middle, in_float(full.post_norm), config_.norm_epsilon, normed);
  product(normed, rounded.gate_up, kept.gate_up);
  swiglu(kept.gate_up, activated);
  out.copy_(kept.middle);
  add_product(activated, rounded.down, out);
}

void DecoderPass::backward(const Tensor& d, const DecoderViews& gradient, const DoneFrom& done) {
  done(gradient.norm_offset);
  for (size_t layer = full_.layers.size(); layer-- > 0;) {
    backward_feed_forward(layer, kept_[layer], d, gradient.layers[layer]);
    backward_attention(layer, kept_[layer], d, gradient.layers[layer]);
    done(gradient.layers[layer].offset);
  }
  Tensor embedding = gradient.embedding;
  embedding.index_add_(0, tokens_, d);
  done(0);
}

// d: from the gradient after the layer to the one in its middle.
void DecoderPass::backward_feed_forward(size_t layer, const Kept& kept, const Tensor& d,
                                        const DecoderViews::Layer& gradient) const {
  const DecoderViews::Layer &full = full_.layers[layer], &rounded = rounded_.layers[layer];
  const Tensor activated = narrow(config_.ffn), d_activated = narrow(config_.ffn);
  const Tensor normed = narrow(config_.hidden), d_normed = narrow(config_.hidden);
  const Tensor d_gate_up = narrow(2 * config_.ffn), dy = d.to(normed.scalar_type());
  swiglu(kept.gate_up, activated);
  add_weight_gradient(dy, activated, gradient.down);
  input_gradient(dy, rounded.down, d_activated);
  swiglu_backward(kept.gate_up, d_activated, d_gate_up);
  rms_norm(kept.middle, in_float(full.post_norm), config_.norm_epsilon, normed);
  add_weight_gradient(d_gate_up, normed, gradient.gate_up);
  input_gradient(d_gate_up, rounded.gate_up, d_normed);
  rms_norm_backward(kept.middle, in_float(full.post_norm), config_.norm_epsilon, d_normed, d, gradient.post_norm);
}

// d: from the gradient in the middle of the layer to the one before it.
void DecoderPass::backward_attention(size_t layer, const Kept& kept, const Tensor& d,
                                     const DecoderViews::Layer& gradient) const {
  const DecoderViews::Layer &full = full_.layers[layer], &rounded = rounded_.layers[layer];
  const Tensor normed = narrow(config_.hidden), d_normed = narrow(config_.hidden);
  const Tensor d_attended = narrow(kept.attended.size(1)), d_qkv = narrow(kept.qkv.size(1));
  const Tensor dy = d.to(normed.scalar_type());
  add_weight_gradient(dy, kept.attended, gradient.o);
  add_bias_gradient(dy, gradient.o_bias);
  input_gradient(dy, rounded.o, d_attended);
  attention_.backward(kept.qkv, d_attended, d_qkv);
  add_bias_gradient(d_qkv, gradient.qkv_bias);
  rms_norm(kept.in, in_float(full.input_norm), config_.norm_epsilon, normed);
  add_weight_gradient(d_qkv, normed, gradient.qkv);
  input_gradient(d_qkv, rounded.qkv, d_normed);
  rms_norm_backward(kept.in, in_float(full.input_norm), config_.norm_epsilon, d_normed, d, gradient.input_norm);
}

Tensor DecoderPass::final_norm(const Tensor& x) const {
  Tensor y = at::empty(x.sizes(), rounded_.head.options());
  rms_norm(x, in_float(full_.norm), config_.norm_epsilon, y);
  return y;
}

void DecoderPass::final_norm_backward(const Tensor& x, const Tensor& dy, const Tensor& dx,
                                      const DecoderViews& gradient) const {
  rms_norm_backward(x, in_float(full_.norm), config_.norm_epsilon, dy, dx, gradient.norm);
}

}  // namespace tightrope
