#include "tree_attention.hpp"

#include <ATen/Parallel.h>

#include <cmath>

#include "decoder_products.hpp"
#include "row_sums_cpu.hpp"
#include "tree_attention_aten.hpp"

namespace tightrope {
namespace {

// Of one row: valid scores become probabilities, the rest of its own segment's columns zero.
void softmax_row(float* row, int64_t valid, int64_t end) {
  const float largest = lane_max(row, valid);
  for (int64_t j = 0; j < valid; ++j) row[j] = fast_exp(row[j] - largest);
  const float scale = 1 / lane_sum(valid, [row](int64_t j) { return row[j]; });
  for (int64_t j = 0; j < valid; ++j) row[j] *= scale;
  std::fill(row + valid, row + end, 0.0F);
}

// ds = p (dp - sum(p dp)), in place of dp.
void softmax_row_backward(const float* __restrict p, float* __restrict dp, int64_t valid, int64_t end) {
  const float mean = lane_sum(valid, [=](int64_t j) { return p[j] * dp[j]; });
  for (int64_t j = 0; j < valid; ++j) dp[j] = p[j] * (dp[j] - mean);
  std::fill(dp + valid, dp + end, 0.0F);
}

}  // namespace

// Of one thread: one head's operands and scores.
struct TreeAttention::Scratch {
  Scratch(int64_t rows, int64_t size, int64_t columns, bool gradients)
      : heads(at::empty({gradients ? 8 : 4, rows, size}, at::kFloat)),
        scores(at::empty({gradients ? 2 : 1, rows, columns}, at::kFloat)) {
    const int64_t step = rows * size;
    auto* const first = heads.mutable_data_ptr<float>();
    q = first, k = first + step, v = first + 2 * step, o = first + 3 * step;
    if (gradients) dq = first + 4 * step, dk = first + 5 * step, dv = first + 6 * step, d_o = first + 7 * step;
    p = scores.mutable_data_ptr<float>();
    dp = gradients ? p + rows * columns : nullptr;
  }

  Tensor heads, scores;
  float *q, *k, *v, *o, *dq = nullptr, *dk = nullptr, *dv = nullptr, *d_o = nullptr;  // (N, head_size)
  float *p, *dp;                                                                      // (N, columns)
};

// Heads side by side in the rows of a matrix.
template <class T>
struct TreeAttention::Heads {
  T* data;
  int64_t stride;  // from row to row
};

TreeAttention::TreeAttention(const DecoderConfig& config, const TokenTree& tree, at::Device device)
    : tree_(tree),
      heads_(config.heads),
      kv_heads_(config.kv_heads),
      size_(config.head_size),
      columns_(tree.depth()),
      cosine_(at::empty({columns_, size_ / 2}, at::kFloat)),
      sine_(at::empty_like(cosine_)) {
  const std::vector<double> frequencies = config.rope.frequencies(size_);
  auto *cosine = cosine_.mutable_data_ptr<float>(), *sine = sine_.mutable_data_ptr<float>();
  for (int64_t position = 0; position < columns_; ++position)
    for (const double frequency : frequencies) {
      *cosine++ = static_cast<float>(std::cos(static_cast<double>(position) * frequency));
      *sine++ = static_cast<float>(std::sin(static_cast<double>(position) * frequency));
    }
  if (!device.is_cpu()) elsewhere_ = std::make_unique<aten::TreeAttention>(config, tree, cosine_, sine_, device);
}

TreeAttention::~TreeAttention() = default;

template <class T>
void TreeAttention::gather(const Heads<T>& from, int64_t head, bool rotated, float scale, float* to) const {
  const int64_t half = size_ / 2;
  for (int64_t i = 0; i < tree_.nodes(); ++i, to += size_) {
    const T* const in = from.data + i * from.stride + head * size_;
    if (!rotated) {
      for (int64_t j = 0; j < size_; ++j) to[j] = static_cast<float>(in[j]) * scale;
      continue;
    }
    const float* const c = cosine_.const_data_ptr<float>() + tree_.position[i] * half;
    const float* const s = sine_.const_data_ptr<float>() + tree_.position[i] * half;
    for (int64_t j = 0; j < half; ++j) {
      const auto x = static_cast<float>(in[j]) * scale, y = static_cast<float>(in[j + half]) * scale;
      to[j] = x * c[j] - y * s[j];
      to[j + half] = y * c[j] + x * s[j];
    }
  }
}

// The transpose of gather: rotates back.
template <class T>
void TreeAttention::scatter(const float* from, bool rotated, float scale, const Heads<T>& to, int64_t head) const {
  const int64_t half = size_ / 2;
  for (int64_t i = 0; i < tree_.nodes(); ++i, from += size_) {
    T* const out = to.data + i * to.stride + head * size_;
    if (!rotated) {
      for (int64_t j = 0; j < size_; ++j) out[j] = static_cast<T>(from[j] * scale);
      continue;
    }
    const float* const c = cosine_.const_data_ptr<float>() + tree_.position[i] * half;
    const float* const s = sine_.const_data_ptr<float>() + tree_.position[i] * half;
    for (int64_t j = 0; j < half; ++j) {
      const float x = from[j] * scale, y = from[j + half] * scale;
      out[j] = static_cast<T>(x * c[j] + y * s[j]);
      out[j + half] = static_cast<T>(y * c[j] - x * s[j]);
    }
  }
}

void TreeAttention::scores(Scratch& scratch) const {
  for (const TokenTree::Segment& s : tree_.segments)
    multiply_transposed({scratch.q + s.begin * size_, size_}, {scratch.k + s.begin * size_, size_},
                        {scratch.p + s.begin * columns_ + s.depth, columns_}, s.subtree_end - s.begin, s.end - s.begin,
                        size_, 0);
}

void TreeAttention::softmax(Scratch& scratch) const {
  for (const TokenTree::Segment& s : tree_.segments)
    for (int64_t row = s.begin; row < s.end; ++row)
      softmax_row(scratch.p + row * columns_, tree_.position[row] + 1, s.depth + s.end - s.begin);
}

void TreeAttention::softmax_backward(Scratch& scratch) const {
  for (const TokenTree::Segment& s : tree_.segments)
    for (int64_t row = s.begin; row < s.end; ++row)
      softmax_row_backward(scratch.p + row * columns_, scratch.dp + row * columns_, tree_.position[row] + 1,
                           s.depth + s.end - s.begin);
}

template <class T>
void TreeAttention::forward_group(const Heads<T>& in, const Heads<T>& out, int64_t kv_head, Scratch& scratch) const {
  const int64_t group = heads_ / kv_heads_;
  gather(in, heads_ + kv_head, true, 1, scratch.k);
  gather(in, heads_ + kv_heads_ + kv_head, false, 1, scratch.v);
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    gather(in, head, true, 1 / std::sqrt(static_cast<float>(size_)), scratch.q);
    scores(scratch);
    softmax(scratch);
    for (const TokenTree::Segment& s : tree_.segments)  // the first segment that a row reads has depth 0
      multiply({scratch.p + s.begin * columns_ + s.depth, columns_}, {scratch.v + s.begin * size_, size_},
               {scratch.o + s.begin * size_, size_}, s.subtree_end - s.begin, size_, s.end - s.begin,
               s.depth == 0 ? 0 : 1);
    scatter(scratch.o, false, 1, out, head);
  }
}

template <class T>
void TreeAttention::backward_group(const Heads<T>& in, const Heads<T>& d_out, const Heads<T>& d_in, int64_t kv_head,
                                   Scratch& scratch) const {
  const int64_t group = heads_ / kv_heads_;
  const float scale = 1 / std::sqrt(static_cast<float>(size_));
  gather(in, heads_ + kv_head, true, 1, scratch.k);
  gather(in, heads_ + kv_heads_ + kv_head, false, 1, scratch.v);
  for (int64_t i = 0; i < group; ++i) {
    const int64_t head = kv_head * group + i;
    const float others = i == 0 ? 0 : 1;  // gradients of keys and values are sums over the group
    gather(in, head, true, scale, scratch.q);
    gather(d_out, head, false, 1, scratch.d_o);
    scores(scratch);
    softmax(scratch);
    for (const TokenTree::Segment& s : tree_.segments) {
      const int64_t rows = s.subtree_end - s.begin, keys = s.end - s.begin, at = s.begin * size_;
      const int64_t corner = s.begin * columns_ + s.depth;
      multiply_transposed({scratch.d_o + at, size_}, {scratch.v + at, size_}, {scratch.dp + corner, columns_}, rows,
                          keys, size_, 0);
      transposed_multiply({scratch.p + corner, columns_}, {scratch.d_o + at, size_}, {scratch.dv + at, size_}, keys,
                          size_, rows, others);
    }
    softmax_backward(scratch);
    for (const TokenTree::Segment& s : tree_.segments) {
      const int64_t rows = s.subtree_end - s.begin, keys = s.end - s.begin, at = s.begin * size_;
      const int64_t corner = s.begin * columns_ + s.depth;
      multiply({scratch.dp + corner, columns_}, {scratch.k + at, size_}, {scratch.dq + at, size_}, rows, size_, keys,
               s.depth == 0 ? 0 : 1);
      transposed_multiply({scratch.dp + corner, columns_}, {scratch.q + at, size_}, {scratch.dk + at, size_}, keys,
                          size_, rows, others);
    }
    scatter(scratch.dq, true, scale, d_in, head);
  }
  scatter(scratch.dk, true, 1, d_in, heads_ + kv_head);
  scatter(scratch.dv, false, 1, d_in, heads_ + kv_heads_ + kv_head);
}

void TreeAttention::forward(const Tensor& qkv, const Tensor& out) const {
  if (elsewhere_) return elsewhere_->forward(qkv, out);
  const auto run = [&]<class T>(T) {
    const Heads<T> in{const_cast<T*>(qkv.const_data_ptr<T>()), qkv.size(1)};
    const Heads<T> to{out.mutable_data_ptr<T>(), out.size(1)};
    at::parallel_for(0, kv_heads_, 1, [&](int64_t begin, int64_t end) {
      Scratch scratch(tree_.nodes(), size_, columns_, false);
      for (int64_t head = begin; head < end; ++head) forward_group(in, to, head, scratch);
    });
  };
  if (qkv.scalar_type() == at::kBFloat16) return run(c10::BFloat16{});
  run(float{});
}

void TreeAttention::backward(const Tensor& qkv, const Tensor& d_out, const Tensor& d_qkv) const {
  if (elsewhere_) return elsewhere_->backward(qkv, d_out, d_qkv);
  const auto run = [&]<class T>(T) {
    const Heads<T> in{const_cast<T*>(qkv.const_data_ptr<T>()), qkv.size(1)};
    const Heads<T> above{const_cast<T*>(d_out.const_data_ptr<T>()), d_out.size(1)};
    const Heads<T> to{d_qkv.mutable_data_ptr<T>(), d_qkv.size(1)};
    at::parallel_for(0, kv_heads_, 1, [&](int64_t begin, int64_t end) {
      Scratch scratch(tree_.nodes(), size_, columns_, true);
      for (int64_t head = begin; head < end; ++head) backward_group(in, above, to, head, scratch);
    });
  };
  if (qkv.scalar_type() == at::kBFloat16) return run(c10::BFloat16{});
  run(float{});
}

}  // namespace tightrope
