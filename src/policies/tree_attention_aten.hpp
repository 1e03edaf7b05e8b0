#pragma once
// Attention over a TokenTree by LibTorch's own operations, for tensors that are not on the CPU.  Rows lie depth first,
// so row i reads row j exactly where j <= i < (the row after j's last descendant): one mask says all.
// For a chunk of key-value heads their scores are one tensor (chunk, heads / kv_heads, N, N) float32, of at most 2^28
// values or one key-value head's; the backward pass holds three of them.
#include "tree_attention.hpp"

namespace tightrope::aten {

class TreeAttention {
 public:
  // cosine, sine (positions, head_size / 2) float32 on the CPU
  TreeAttention(const DecoderConfig& config, const TokenTree& tree, const Tensor& cosine, const Tensor& sine,
                at::Device device);

  // As in tightrope::TreeAttention.
  void forward(const Tensor& qkv, const Tensor& out) const;
  void backward(const Tensor& qkv, const Tensor& d_out, const Tensor& d_qkv) const;

 private:
  // Of `count` key-value heads from `first` on.  float32
  struct Operands {
    Tensor q, k, v;        // (count, group N, size), rotated, q scaled; (count, N, size) each, k rotated
    Tensor probabilities;  // (count, group N, N)
  };
  Operands operands(const Tensor& qkv, int64_t first, int64_t count) const;
  Tensor rotate(const Tensor& x, bool back) const;                             // (.., N, size)
  Tensor columns(const Tensor& matrix, int64_t first, int64_t heads) const;    // (heads, N, size) of (N, ..)
  void store(const Tensor& heads, const Tensor& matrix, int64_t first) const;  // the other way
  template <class Body>
  void for_chunks(Body body) const;  // body(first key-value head, their number)

  int64_t heads_, kv_heads_, size_, nodes_;
  Tensor cosine_, sine_;  // (N, size / 2), by row
  Tensor unread_;         // (N, N) bool: row i does not read row j
};

}  // namespace tightrope::aten
