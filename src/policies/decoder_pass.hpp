#pragma once
// The layers of a decoder over one TokenTree, forward and backward, on the device of the parameters.
#include <functional>
#include <vector>

#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/token_tree.hpp"
#include "tree_attention.hpp"

namespace tightrope {

// The matrices and vectors of a flat buffer (P) as views; q, k, v and gate, up are one matrix each.
struct DecoderViews {
  struct Layer {
    Tensor input_norm, qkv, qkv_bias, o, o_bias, post_norm, gate_up, down;  // biases undefined where there are none
    int64_t offset = 0;                                                     // of the layer's first value
  };
  DecoderViews(const DecoderConfig& config, const Tensor& flat);

  Tensor embedding, norm, head;  // head is the embedding where tied
  std::vector<Layer> layers;
  int64_t norm_offset = 0;  // of its first value
};

// Told by a backward pass: it will not touch the gradient from the value `offset` on any more.
using DoneFrom = std::function<void(int64_t offset)>;

class DecoderPass {
 public:
  // flat (P): the parameters as they are; rounded (P): what the products use, of their type.  All arguments must live
  // as long.
  DecoderPass(const DecoderConfig& config, const Tensor& flat, const Tensor& rounded, const TokenTree& tree);

  // (N,H) float32: the residual stream after the last layer.  keep: for a backward pass.
  Tensor forward(bool keep);

  // d (N,H) float32: the gradient of what forward returned; is overwritten.  Adds to the views of the gradient, from
  // the last layer to the first.
  void backward(const Tensor& d, const DecoderViews& gradient, const DoneFrom& done);

  const DecoderViews& rounded() const { return rounded_; }
  Tensor final_norm(const Tensor& x) const;  // in the type of the products
  void final_norm_backward(const Tensor& x, const Tensor& dy, const Tensor& dx, const DecoderViews& gradient) const;

 private:
  struct Kept {
    Tensor in, middle;              // (N,H) float32: before attention, before the feed-forward part
    Tensor qkv, attended, gate_up;  // (N,..) in the type of the products
  };

  Kept room() const;
  Tensor narrow(int64_t width) const;  // (N,width) in the type of the products
  void forward_layer(size_t layer, const Kept& kept, const Tensor& out) const;
  void backward_attention(size_t layer, const Kept& kept, const Tensor& d, const DecoderViews::Layer& gradient) const;
  void backward_feed_forward(size_t layer, const Kept& kept, const Tensor& d,
                             const DecoderViews::Layer& gradient) const;

  const DecoderConfig& config_;
  const TokenTree& tree_;
  TreeAttention attention_;
  DecoderViews full_, rounded_;
  Tensor tokens_;  // (N) int64, on the device
  std::vector<Kept> kept_;
};

}  // namespace tightrope
