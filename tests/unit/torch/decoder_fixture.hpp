#pragma once
// Small decoders with random parameters, and the tree and request of sequences, for the tests of the decoder.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <string>
#include <vector>

#include "tightrope/core/rng.hpp"
#include "tightrope/policies/decoder.hpp"

namespace tightrope::decoder_tests {

using Tokens = std::vector<int32_t>;

// Nothing a power of two: three query heads to a key head, 20 values each, 41 tokens.
inline DecoderConfig small_config() {
  DecoderConfig config;
  config.vocabulary = 41, config.hidden = 44, config.layers = 2, config.ffn = 70, config.context = 512;
  config.heads = 6, config.kv_heads = 2, config.head_size = 20;
  return config;
}

inline std::vector<std::pair<std::string, DecoderConfig>> small_configs() {
  DecoderConfig tied = small_config(), biased = small_config(), llama3 = small_config();
  tied.tied = true, tied.rope.scaling = Rope::Scaling::linear, tied.rope.factor = 4;
  biased.attention_bias = true, biased.kv_heads = 6;
  llama3.rope.scaling = Rope::Scaling::llama3, llama3.rope.factor = 8, llama3.rope.original_context = 16;
  llama3.kv_heads = 1;
  return {{"plain", small_config()}, {"tied", tied}, {"biased", biased}, {"llama3", llama3}};
}

// Normal values: norms around 1, embedding of size 1, the rest such that logits are of size 1.
inline void randomise(const DecoderConfig& config, ParameterSet& parameters, uint64_t seed = 1) {
  const at::NoGradGuard no_grad;
  uint64_t index = 0;
  for (const Parameter& parameter : parameters.parameters()) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const double scale = norm || parameter.shape.size() == 1 ? 0.3 : 1 / std::sqrt(static_cast<double>(config.hidden));
    std::vector<float> values(static_cast<size_t>(parameter.value.numel()));
    ++index;
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(norm + scale * normal(seed, Stream::weights, index, static_cast<uint32_t>(i)));
    parameter.value.detach().copy_(at::tensor(values).view(parameter.shape));
  }
}

struct Model {
  explicit Model(const DecoderConfig& c, Precision precision = Precision::float32) : config(c), decoder(c, precision) {
    add_decoder_parameters(config, parameters);
    randomise(config, parameters);
  }
  DecoderConfig config;
  Decoder decoder;
  ParameterSet parameters;
};

struct Sequence {
  Tokens tokens;
  int64_t given = 1;
};

inline Tokens random_tokens(int64_t count, uint64_t id, int64_t vocabulary = 41) {
  Tokens tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(static_cast<double>(vocabulary) *
                                          uniform(7, Stream::weights, id, static_cast<uint32_t>(i))));
  return tokens;
}

inline Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Eight prompts, two with a long common start, three answers each, of which two begin alike; the first stands twice.
inline std::vector<Sequence> sample_sequences() {
  const Tokens common = random_tokens(90, 1);
  std::vector<Sequence> out;
  for (uint64_t prompt = 0; prompt < 8; ++prompt) {
    const Tokens own = random_tokens(15 + static_cast<int64_t>(prompt), 100 + prompt);
    const Tokens start = (prompt < 2 ? common : Tokens{}) + own, answer = random_tokens(9, 200 + prompt);
    for (uint64_t k = 0; k < 3; ++k)
      out.push_back(
          {start + (k < 2 ? answer : Tokens{}) + random_tokens(3 + static_cast<int64_t>(k), 300 + prompt * 3 + k),
           static_cast<int64_t>(start.size())});
  }
  out.push_back(out.front());
  return out;
}

struct Scored {
  TokenTree tree;
  Predictions predictions;
  ScoreRequest request;
};

inline Scored scored(const std::vector<Sequence>& sequences) {
  std::vector<PredictedSequence> views;
  for (const Sequence& sequence : sequences) views.push_back({sequence.tokens, sequence.given});
  Scored out;
  out.tree = make_token_tree(views, out.predictions);
  out.request.row = at::tensor(out.predictions.row, at::kLong);
  out.request.target = at::tensor(out.predictions.target, at::kLong);
  return out;
}

// Weights of a loss that is linear in the log-probs, one per entry.
inline Tensor loss_weights(int64_t entries) { return at::sin(at::arange(entries, at::kFloat) * 0.7 + 0.3); }

// The gradient (P) of sum(weights * log_prob); log_prob is stored where asked for.
inline Tensor gradient(Model& model, const Scored& batch, const Tensor& weights, Tensor* log_prob = nullptr) {
  model.parameters.zero_gradient();
  const Tensor values = model.decoder.score(model.parameters, batch.tree, batch.request).log_prob;
  (values * weights).sum().backward();
  if (log_prob != nullptr) *log_prob = values.detach();
  return model.parameters.gradient().clone();
}

inline double largest(const Tensor& values) { return values.abs().max().item<double>(); }

}  // namespace tightrope::decoder_tests
