#pragma once
// Attention of every node of a TokenTree to itself and its ancestors, with rotary positions and grouped queries
// (Ainslie et al. 2023): query head h reads key and value head h / (heads / kv_heads).
// On a CPU, per head, the scores are one matrix (N, tree.depth()) whose columns are positions.  The keys of a segment
// are the columns of its positions, and exactly the rows at or below it read them, so each segment is one dense product
// with no mask but its own triangle.  Nothing is kept for the backward pass but what goes in: scores are computed
// again.
#include <ATen/core/Tensor.h>

#include <memory>

#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/token_tree.hpp"

namespace tightrope {

using at::Tensor;

namespace aten {
class TreeAttention;
}

class TreeAttention {
 public:
  TreeAttention(const DecoderConfig& config, const TokenTree& tree, at::Device device);  // the tree must live as long
  ~TreeAttention();

  // qkv (N, (heads + 2 kv_heads) * head_size): projections before rotation; out (N, heads * head_size).
  // Both float32 or both bfloat16, contiguous; arithmetic is float32.
  void forward(const Tensor& qkv, const Tensor& out) const;
  void backward(const Tensor& qkv, const Tensor& d_out, const Tensor& d_qkv) const;  // sets all of d_qkv

  // (positions, head_size / 2) float32, on the CPU
  const Tensor& cosine() const { return cosine_; }
  const Tensor& sine() const { return sine_; }

 private:
  struct Scratch;
  template <class T>
  struct Heads;

  void scores(Scratch& scratch) const;
  void softmax(Scratch& scratch) const;
  void softmax_backward(Scratch& scratch) const;
  template <class T>
  void forward_group(const Heads<T>& in, const Heads<T>& out, int64_t kv_head, Scratch& scratch) const;
  template <class T>
  void backward_group(const Heads<T>& in, const Heads<T>& d_out, const Heads<T>& d_in, int64_t kv_head,
                      Scratch& scratch) const;
  template <class T>
  void gather(const Heads<T>& from, int64_t head, bool rotated, float scale, float* to) const;
  template <class T>
  void scatter(const float* from, bool rotated, float scale, const Heads<T>& to, int64_t head) const;

  const TokenTree& tree_;
  int64_t heads_, kv_heads_, size_, columns_;
  Tensor cosine_, sine_;                            // (columns, size / 2) float32
  std::unique_ptr<aten::TreeAttention> elsewhere_;  // where the device is not a CPU
};

}  // namespace tightrope
