#pragma once
// Private to the text sampler: a Llama-family decoder on a CPU, without gradients, one new token of many texts at once.
// RMSNorm (Zhang and Sennrich 2019), rotary positions, grouped queries, SwiGLU (Shazeer 2020), as Hugging Face's Llama.
#include <memory>
#include <span>
#include <vector>

#include "tightrope/policies/attention_cpu.hpp"
#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/packed_matrix_cpu.hpp"

namespace tightrope {

struct NextToken {
  int64_t token;
  Segment* text;  // that it goes to the end of
};

class CachedDecoder {
 public:
  CachedDecoder(const DecoderConfig& config, Precision precision);

  void load(std::span<const float> flat);  // decoder_parameters order
  int64_t memory_bytes() const;            // of the stored weights

  AttentionShape shape() const;

  // Appends the tokens; tokens of one text in their order.  Returns (M,H) behind the last norm; valid until the next
  // call.  Keys, values and sums are float32; a row does not depend on the others.
  std::span<const float> forward(std::span<const NextToken> next);

  void logits(const float* hidden, int64_t rows, float* out) const;  // hidden (M,H), out (M,V)

 private:
  struct Layer {
    std::vector<float> input_norm, post_norm;  // (H)
    PackedMatrix qkv, o, gate_up, down;
  };
  struct Rotation {
    std::vector<float> cosine, sine;  // (positions, head_size / 2)
  };

  void place(std::span<const NextToken> next);
  void attention(const Layer& layer, int64_t index, std::span<const NextToken> next);
  void feed_forward(const Layer& layer, int64_t rows);
  void rotate(float* head, int64_t position, float scale) const;
  const PackedMatrix& head() const { return config_.tied ? embedding_ : head_; }
  std::vector<PackedMatrix*> matrices();

  DecoderConfig config_;
  std::shared_ptr<uint32_t> words_;  // of all matrices
  int64_t word_count_ = 0;
  PackedMatrix embedding_, head_;
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;
  std::vector<double> frequencies_;
  Rotation rotation_;
  std::vector<int64_t> positions_;                                        // (M)
  std::vector<float> residual_, normed_, qkv_, mixed_, gate_up_, gated_;  // (M, ...)
};

}  // namespace tightrope
