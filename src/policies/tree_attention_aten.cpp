#include "tree_attention_aten.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tightrope::aten {

TreeAttention::TreeAttention(const DecoderConfig& config, const TokenTree& tree, const Tensor& cosine,
                             const Tensor& sine, at::Device device)
    : heads_(config.heads), kv_heads_(config.kv_heads), size_(config.head_size), nodes_(tree.nodes()) {
  const Tensor position = at::tensor(at::ArrayRef<int32_t>(tree.position)).to(at::kLong);
  cosine_ = cosine.index_select(0, position).to(device);
  sine_ = sine.index_select(0, position).to(device);
  std::vector<int64_t> end(static_cast<size_t>(nodes_));  // the row after each row's last descendant
  for (const TokenTree::Segment& segment : tree.segments)
    std::fill(end.begin() + segment.begin, end.begin() + segment.end, segment.subtree_end);
  const Tensor column = at::arange(nodes_, at::kLong).to(device), row = column.unsqueeze(1);
  unread_ = (column > row) | (row >= at::tensor(end, at::kLong).to(device));
}

Tensor TreeAttention::rotate(const Tensor& x, bool back) const {
  const int64_t half = size_ / 2;
  const Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half), sine = back ? -sine_ : sine_;
  return at::cat({a * cosine_ - b * sine, b * cosine_ + a * sine}, -1);
}

Tensor TreeAttention::columns(const Tensor& matrix, int64_t first, int64_t heads) const {
  return matrix.narrow(1, first * size_, heads * size_).view({nodes_, heads, size_}).transpose(0, 1).to(at::kFloat);
}

void TreeAttention::store(const Tensor& heads, const Tensor& matrix, int64_t first) const {
  matrix.narrow(1, first * size_, heads.size(0) * size_)
      .view({nodes_, heads.size(0), size_})
      .copy_(heads.transpose(0, 1));
}

template <class Body>
void TreeAttention::for_chunks(Body body) const {
  const int64_t of_one = std::max<int64_t>(heads_ / kv_heads_ * nodes_ * nodes_, 1);
  const int64_t at_once = std::clamp<int64_t>((int64_t{1} << 28) / of_one, 1, kv_heads_);
  for (int64_t first = 0; first < kv_heads_; first += at_once) body(first, std::min(at_once, kv_heads_ - first));
}

TreeAttention::Operands TreeAttention::operands(const Tensor& qkv, int64_t first, int64_t count) const {
  const int64_t group = heads_ / kv_heads_;
  Operands out;
  out.q = rotate(columns(qkv, first * group, count * group), false).mul_(1 / std::sqrt(static_cast<double>(size_)));
  out.q = out.q.reshape({count, group * nodes_, size_});
  out.k = rotate(columns(qkv, heads_ + first, count), false);
  out.v = columns(qkv, heads_ + kv_heads_ + first, count);
  const Tensor scores = at::bmm(out.q, out.k.transpose(1, 2)).view({count * group, nodes_, nodes_});
  scores.masked_fill_(unread_, -std::numeric_limits<float>::infinity());
  out.probabilities = at::softmax(scores, -1).view({count, group * nodes_, nodes_});
  return out;
}

void TreeAttention::forward(const Tensor& qkv, const Tensor& out) const {
  const int64_t group = heads_ / kv_heads_;
  for_chunks([&](int64_t first, int64_t count) {
    const Operands in = operands(qkv, first, count);
    const Tensor attended = at::bmm(in.probabilities, in.v);
    store(attended.view({count * group, nodes_, size_}), out, first * group);
  });
}

void TreeAttention::backward(const Tensor& qkv, const Tensor& d_out, const Tensor& d_qkv) const {
  const int64_t group = heads_ / kv_heads_;
  const double scale = 1 / std::sqrt(static_cast<double>(size_));
  for_chunks([&](int64_t first, int64_t count) {
    const Operands in = operands(qkv, first, count);
    const Tensor d = columns(d_out, first * group, count * group).reshape({count, group * nodes_, size_});
    store(at::bmm(in.probabilities.transpose(1, 2), d), d_qkv, heads_ + kv_heads_ + first);
    Tensor ds = at::bmm(d, in.v.transpose(1, 2));
    ds.sub_((in.probabilities * ds).sum(-1, /*keepdim=*/true)).mul_(in.probabilities);  // p (dp - sum(p dp))
    const Tensor dq = at::bmm(ds, in.k).mul_(scale).view({count * group, nodes_, size_});
    store(rotate(dq, true), d_qkv, first * group);
    store(rotate(at::bmm(ds.transpose(1, 2), in.q), true), d_qkv, heads_ + first);
  });
}

}  // namespace tightrope::aten
