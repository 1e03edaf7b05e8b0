#pragma once
// Private to the text sampler: keys and values of texts that grow by tokens, and attention over them.
// A text is a chain of segments, so that texts with a common beginning share it.  Everything is float32.
#include <cstdint>
#include <memory>
#include <span>

namespace tightrope {

struct AttentionShape {
  int64_t layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t query_width() const { return heads * head_size; }
  int64_t kv_width() const { return kv_heads * head_size; }
};

// Consecutive positions of a text: those of the parent come before.
class Segment {
 public:
  Segment(const AttentionShape& shape, std::shared_ptr<const Segment> parent, int64_t capacity);

  int64_t end() const { return first_ + count_; }  // position of the next token
  bool has_room() const { return count_ < capacity_; }
  void extend() { ++count_; }

  // key and value (kv_heads, head_size) of `position`, which lies in this segment.
  void write(int64_t layer, int64_t position, const float* key, const float* value);

  // out (G, head_size) = softmax(q k) v over the positions [0, end) of the chain, for the G queries (G, head_size) of
  // one key head; queries are scaled already.  G = heads / kv_heads.  Every element is a sum in the order of positions,
  // wherever one segment ends and the next begins.
  void attend(int64_t layer, int64_t kv_head, const float* queries, int64_t end, float* out) const;

 private:
  template <int queries>
  void attend_few(int64_t layer, int64_t kv_head, const float* query, int64_t end, float* out) const;
  template <int queries>
  void scores(int64_t layer, int64_t kv_head, const float* query, int64_t end, float* scores, int64_t stride) const;
  template <int queries>
  void mix(int64_t layer, int64_t kv_head, const float* weights, int64_t stride, int64_t end, float* sums) const;
  float* keys(int64_t layer, int64_t kv_head) const;
  float* values(int64_t layer, int64_t kv_head) const;

  AttentionShape shape_;
  std::shared_ptr<const Segment> parent_;
  int64_t first_, count_ = 0, capacity_;
  int64_t value_width_;              // head_size rounded up to whole registers; zeros behind
  std::unique_ptr<float[]> keys_;    // (layers, kv_heads, capacity / lanes, head_size, lanes): lanes are positions
  std::unique_ptr<float[]> values_;  // (layers, kv_heads, capacity, value_width)
};

}  // namespace tightrope
