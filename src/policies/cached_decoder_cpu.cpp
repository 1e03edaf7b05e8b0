#include "tightrope/policies/cached_decoder_cpu.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/parallel_cpu.hpp"

namespace tightrope {
namespace {

// Large pages where the system has them: weights are read from end to end for every token.
std::shared_ptr<uint32_t> allocate(int64_t words) {
  constexpr int64_t kPage = int64_t{1} << 21;
  const auto bytes = static_cast<size_t>(round_up(words * 4, kPage));
  auto* const memory = static_cast<uint32_t*>(std::aligned_alloc(kPage, bytes));
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return {memory, std::free};
}

// x (M,H) over its root mean square, times the weight.
void rms_norm(const std::vector<float>& x, const std::vector<float>& weight, double epsilon, std::vector<float>& out) {
  const auto width = static_cast<int64_t>(weight.size()), rows = static_cast<int64_t>(x.size()) / width;
  const int64_t whole = width / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r) {
    const float* const from = x.data() + r * width;
    float* const to = out.data() + r * width;
    Floats squares{};
    for (int64_t i = 0; i < whole; i += kLanes) squares = multiply_add(load(from + i), load(from + i), squares);
    const Floats rest = load_some(from + whole, width - whole, 0);
    const double sum = sum_of(multiply_add(rest, rest, squares));
    const auto scale = static_cast<float>(1 / std::sqrt(sum / static_cast<double>(width) + epsilon));
    for (int64_t i = 0; i < width; ++i) to[i] = from[i] * scale * weight[static_cast<size_t>(i)];
  }
}

Floats silu(Floats x) { return x / (1.0F + exponential(-x)); }

// out (F) = silu(gate) * up
void gate(const float* gates, const float* ups, int64_t width, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(silu(load(gates + i)) * load(ups + i), out + i);
  const int64_t rest = width - i;
  const Floats last = silu(load_some(gates + i, rest, 0)) * load_some(ups + i, rest, 0);
  std::memcpy(out + i, &last, static_cast<size_t>(rest) * sizeof(float));
}

// Takes the parameters off the front of the flat buffer.
struct Flat {
  std::span<const float> rest;

  std::span<const float> take(int64_t count) {
    VALIDATE(count <= static_cast<int64_t>(rest.size()), "the weights do not fit the model",
             "the buffer ends before its last parameter", "use the config.json that belongs to the weights");
    const auto taken = rest.first(static_cast<size_t>(count));
    rest = rest.subspan(static_cast<size_t>(count));
    return taken;
  }
  void take(std::vector<float>& to) {
    const auto taken = take(static_cast<int64_t>(to.size()));
    to.assign(taken.begin(), taken.end());
  }
};

}  // namespace

CachedDecoder::CachedDecoder(const DecoderConfig& config, Precision precision)
    : config_(config),
      embedding_(config.vocabulary, config.hidden, precision),
      final_norm_(static_cast<size_t>(config.hidden)),
      frequencies_(config.rope.frequencies(config.head_size)) {
  const int64_t width = shape().query_width(), kv_width = shape().kv_width();
  if (!config.tied) head_ = PackedMatrix(config.vocabulary, config.hidden, precision);
  for (int64_t l = 0; l < config.layers; ++l)
    layers_.push_back({.input_norm = final_norm_,
                       .post_norm = final_norm_,
                       .qkv = PackedMatrix(width + 2 * kv_width, config.hidden, precision),
                       .o = PackedMatrix(config.hidden, width, precision),
                       .gate_up = PackedMatrix(2 * config.ffn, config.hidden, precision),
                       .down = PackedMatrix(config.hidden, config.ffn, precision)});
  for (const PackedMatrix* matrix : matrices()) word_count_ += matrix->words();
  words_ = allocate(word_count_);
}

AttentionShape CachedDecoder::shape() const {
  return {config_.layers, config_.heads, config_.kv_heads, config_.head_size};
}

std::vector<PackedMatrix*> CachedDecoder::matrices() {
  std::vector<PackedMatrix*> all;  // in the order of their use
  for (Layer& layer : layers_) all.insert(all.end(), {&layer.qkv, &layer.o, &layer.gate_up, &layer.down});
  all.insert(all.end(), {&embedding_, &head_});
  return all;
}

int64_t CachedDecoder::memory_bytes() const { return word_count_ * 4; }

void CachedDecoder::load(std::span<const float> values) {
  Flat flat{values};
  uint32_t* storage = words_.get();
  const auto pack = [&](PackedMatrix& matrix, bool bias = false) {
    const auto weight = flat.take(matrix.outputs() * matrix.inputs());
    const auto added = flat.take(bias ? matrix.outputs() : 0);
    matrix.pack(weight.data(), added, {storage, static_cast<size_t>(matrix.words())});
    storage += matrix.words();
  };
  pack(embedding_);
  for (Layer& layer : layers_) {
    flat.take(layer.input_norm);
    pack(layer.qkv, config_.attention_bias);
    pack(layer.o, config_.attention_bias);
    flat.take(layer.post_norm);
    pack(layer.gate_up);
    pack(layer.down);
  }
  flat.take(final_norm_);
  if (!config_.tied) pack(head_);
  VALIDATE(flat.rest.empty(), "the weights do not fit the model",
           "the buffer holds " + std::to_string(flat.rest.size()) + " values more than its parameters",
           "use the config.json that belongs to the weights");
}

// Where the tokens go, their embeddings, and the rotations up to there.
void CachedDecoder::place(std::span<const NextToken> next) {
  const auto rows = static_cast<int64_t>(next.size());
  const int64_t half = config_.head_size / 2;
  const AttentionShape s = shape();
  positions_.clear();
  for (const NextToken& each : next) {
    positions_.push_back(each.text->end());
    each.text->extend();
  }
  for (auto p = static_cast<int64_t>(rotation_.sine.size()) / half; p <= std::ranges::max(positions_); ++p)
    for (const double frequency : frequencies_) {
      rotation_.cosine.push_back(static_cast<float>(std::cos(static_cast<double>(p) * frequency)));
      rotation_.sine.push_back(static_cast<float>(std::sin(static_cast<double>(p) * frequency)));
    }
  const auto size = [&](std::vector<float>& buffer, int64_t width) {
    buffer.resize(static_cast<size_t>(rows * width));
  };
  size(residual_, config_.hidden);
  size(normed_, config_.hidden);
  size(qkv_, s.query_width() + 2 * s.kv_width());
  size(mixed_, s.query_width());
  size(gate_up_, 2 * config_.ffn);
  size(gated_, config_.ffn);
  for (int64_t r = 0; r < rows; ++r) embedding_.row(next[static_cast<size_t>(r)].token, &residual_[r * config_.hidden]);
}

void CachedDecoder::rotate(float* head, int64_t position, float scale) const {
  const int64_t half = config_.head_size / 2;
  const float *const cosine = &rotation_.cosine[position * half], *const sine = &rotation_.sine[position * half];
  for (int64_t i = 0; i < half; ++i) {
    const float a = head[i] * scale, b = head[half + i] * scale;
    head[i] = a * cosine[i] - b * sine[i];
    head[half + i] = b * cosine[i] + a * sine[i];
  }
}

void CachedDecoder::attention(const Layer& layer, int64_t index, std::span<const NextToken> next) {
  const AttentionShape s = shape();
  const auto rows = static_cast<int64_t>(next.size());
  const int64_t width = s.query_width(), all = width + 2 * s.kv_width(), group = s.heads / s.kv_heads;
  rms_norm(residual_, layer.input_norm, config_.norm_epsilon, normed_);
  layer.qkv.multiply(normed_.data(), rows, qkv_.data());
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_size)));
  for (int64_t r = 0; r < rows; ++r) {
    float* const query = &qkv_[r * all];
    float* const key = query + width;
    for (int64_t h = 0; h < s.heads; ++h) rotate(query + h * s.head_size, positions_[r], scale);
    for (int64_t h = 0; h < s.kv_heads; ++h) rotate(key + h * s.head_size, positions_[r], 1);
    next[r].text->write(index, positions_[r], key, key + s.kv_width());
  }
  // Head by head: texts that share a beginning find its keys in the cache.
  const int64_t work = 2 * group * s.head_size * std::ranges::max(positions_);
  parallel_pieces(s.kv_heads * rows, items_worth_a_thread(work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / rows, r = i % rows, offset = head * group * s.head_size;
      next[r].text->attend(index, head, &qkv_[r * all + offset], positions_[r] + 1, &mixed_[r * width + offset]);
    }
  });
  layer.o.multiply(mixed_.data(), rows, residual_.data(), true);
}

void CachedDecoder::feed_forward(const Layer& layer, int64_t rows) {
  const int64_t width = config_.ffn;
  rms_norm(residual_, layer.post_norm, config_.norm_epsilon, normed_);
  layer.gate_up.multiply(normed_.data(), rows, gate_up_.data());
  parallel_pieces(rows, items_worth_a_thread(16 * width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      gate(&gate_up_[2 * r * width], &gate_up_[(2 * r + 1) * width], width, &gated_[r * width]);
  });
  layer.down.multiply(gated_.data(), rows, residual_.data(), true);
}

std::span<const float> CachedDecoder::forward(std::span<const NextToken> next) {
  place(next);
  for (size_t l = 0; l < layers_.size(); ++l) {
    attention(layers_[l], static_cast<int64_t>(l), next);
    feed_forward(layers_[l], static_cast<int64_t>(next.size()));
  }
  rms_norm(residual_, final_norm_, config_.norm_epsilon, normed_);
  return normed_;
}

void CachedDecoder::logits(const float* hidden, int64_t rows, float* out) const { head().multiply(hidden, rows, out); }

}  // namespace tightrope
