#include "tightrope/policies/attention_cpu.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/vector_cpu.hpp"

namespace tightrope {
namespace {

constexpr int kQueries = 4;  // at once: with two registers of keys or values each, the sums fill the register file

// weights (n) becomes exp(weights - largest) in place, zeros up to whole registers; returns the sum.
float softmax_parts(float* weights, int64_t n) {
  constexpr float kNothing = -1e30F;  // exp of it is 0
  for (int64_t i = n; i < round_up(n, kLanes); ++i) weights[i] = kNothing;
  Floats most = broadcast(kNothing), sum{};
  for (int64_t i = 0; i < n; i += kLanes) most = larger(most, load(weights + i));
  const Floats top = broadcast(largest(most));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats part = exponential(load(weights + i) - top);
    store(part, weights + i);
    sum += part;
  }
  return static_cast<float>(sum_of(sum));
}

}  // namespace

Segment::Segment(const AttentionShape& shape, std::shared_ptr<const Segment> parent, int64_t capacity)
    : shape_(shape),
      parent_(std::move(parent)),
      first_(parent_ == nullptr ? 0 : parent_->end()),
      capacity_(round_up(capacity, kLanes)),
      value_width_(round_up(shape.head_size, kLanes)) {
  // Left unwritten: memory is the system's until a token needs it.
  const int64_t places = shape.layers * shape.kv_heads * capacity_;
  keys_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(places * shape.head_size));
  values_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(places * value_width_));
}

float* Segment::keys(int64_t layer, int64_t kv_head) const {
  return keys_.get() + (layer * shape_.kv_heads + kv_head) * capacity_ * shape_.head_size;
}

float* Segment::values(int64_t layer, int64_t kv_head) const {
  return values_.get() + (layer * shape_.kv_heads + kv_head) * capacity_ * value_width_;
}

void Segment::write(int64_t layer, int64_t position, const float* key, const float* value) {
  const int64_t at = position - first_, size = shape_.head_size;
  EXPECT(at >= 0 && at < capacity_);
  for (int64_t head = 0; head < shape_.kv_heads; ++head, key += size, value += size) {
    float* const block = keys(layer, head) + at / kLanes * size * kLanes + at % kLanes;
    for (int64_t d = 0; d < size; ++d) block[d * kLanes] = key[d];
    float* const row = values(layer, head) + at * value_width_;
    std::copy_n(value, size, row);
    std::fill(row + size, row + value_width_, 0.0F);
  }
}

// scores (queries, stride) at the positions of the chain below `end`; whatever lies behind is undefined.
template <int queries>
void Segment::scores(int64_t layer, int64_t kv_head, const float* query, int64_t end, float* scores,
                     int64_t stride) const {
  if (parent_ != nullptr) parent_->scores<queries>(layer, kv_head, query, first_, scores, stride);
  const int64_t size = shape_.head_size, block = size * kLanes;
  const float* key = keys(layer, kv_head);
  for (int64_t at = 0; at < end - first_; at += 2 * kLanes, key += 2 * block) {
    const int64_t other = at + kLanes < capacity_ ? block : 0;  // the last block may have no neighbour
    std::array<std::array<Floats, 2>, queries> sum{};
    for (int64_t d = 0; d < size; ++d) {
      const Floats one = load(key + d * kLanes), two = load(key + other + d * kLanes);
#pragma GCC unroll 4
      for (int q = 0; q < queries; ++q) {
        const Floats value = broadcast(query[q * size + d]);
        sum[q][0] = multiply_add(value, one, sum[q][0]);
        sum[q][1] = multiply_add(value, two, sum[q][1]);
      }
    }
    for (int q = 0; q < queries; ++q)
      for (int i = 0; i < 2; ++i) store(sum[q][i], scores + q * stride + first_ + at + i * kLanes);
  }
}

// sums (queries, value_width) += weights (queries, stride) times the values of the chain below `end`.
template <int queries>
void Segment::mix(int64_t layer, int64_t kv_head, const float* weights, int64_t stride, int64_t end,
                  float* sums) const {
  if (parent_ != nullptr) parent_->mix<queries>(layer, kv_head, weights, stride, first_, sums);
  for (int64_t d = 0; d < value_width_; d += 2 * kLanes) {
    const int64_t other = d + kLanes < value_width_ ? kLanes : 0;  // an odd last register is its own neighbour
    std::array<std::array<Floats, 2>, queries> sum;
    for (int q = 0; q < queries; ++q)
      for (int i = 0; i < 2; ++i) sum[q][i] = load(sums + q * value_width_ + d + i * other);
    const float* value = values(layer, kv_head) + d;
    for (int64_t at = first_; at < end; ++at, value += value_width_) {
      const Floats one = load(value), two = load(value + other);
#pragma GCC unroll 4
      for (int q = 0; q < queries; ++q) {
        const Floats weight = broadcast(weights[q * stride + at]);
        sum[q][0] = multiply_add(weight, one, sum[q][0]);
        sum[q][1] = multiply_add(weight, two, sum[q][1]);
      }
    }
    for (int q = 0; q < queries; ++q)
      for (int i = 0; i < 2; ++i) store(sum[q][i], sums + q * value_width_ + d + i * other);
  }
}

template <int queries>
void Segment::attend_few(int64_t layer, int64_t kv_head, const float* query, int64_t end, float* out) const {
  thread_local std::vector<float> scratch;
  const int64_t stride = round_up(end, kLanes) + 2 * kLanes, size = shape_.head_size;
  scratch.resize(static_cast<size_t>(queries * (stride + value_width_)));
  float *const weights = scratch.data(), *const sums = weights + queries * stride;
  scores<queries>(layer, kv_head, query, end, weights, stride);
  std::array<float, queries> total;
  for (int q = 0; q < queries; ++q) total[q] = softmax_parts(weights + q * stride, end);
  std::fill_n(sums, queries * value_width_, 0.0F);
  mix<queries>(layer, kv_head, weights, stride, end, sums);
  for (int q = 0; q < queries; ++q)
    for (int64_t d = 0; d < size; ++d) out[q * size + d] = sums[q * value_width_ + d] / total[q];
}

void Segment::attend(int64_t layer, int64_t kv_head, const float* queries, int64_t end, float* out) const {
  const int64_t group = shape_.heads / shape_.kv_heads, size = shape_.head_size;
  for (int64_t q = 0; q < group; q += kQueries) {
    const float* const query = queries + q * size;
    float* const to = out + q * size;
    switch (std::min<int64_t>(kQueries, group - q)) {
      case 1:
        attend_few<1>(layer, kv_head, query, end, to);
        break;
      case 2:
        attend_few<2>(layer, kv_head, query, end, to);
        break;
      case 3:
        attend_few<3>(layer, kv_head, query, end, to);
        break;
      default:
        attend_few<kQueries>(layer, kv_head, query, end, to);
    }
  }
}

}  // namespace tightrope
