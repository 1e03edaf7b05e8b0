#pragma once
// TextSampler: texts from a decoder, many at once, on a CPU, without gradients.  It keeps its own copy of the weights,
// laid out for reading them once per token; load() again after every change.
// What a row gets depends on its prompt and its uniforms alone, bit for bit, whichever other rows are in the call.
// Not thread-safe; uses LibTorch's threads.
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/precision.hpp"

namespace tightrope {

class CachedDecoder;

struct SampleOptions {
  int64_t max_new = 64;            // tokens of a completion, at most
  double temperature = 1;          // of the policy's density: divides the logits
  double explore_temperature = 1;  // of behaviour: multiplies the temperature
  double top_p = 1;                // of behaviour: the least set of most probable tokens with at least this mass
  bool greedy = false;             // the most probable token, the first of equals
  std::vector<int64_t> stops;      // tokens that end a completion
  int64_t context = 0;             // most tokens of prompt and completion; 0 = the model's
};

struct Completion {
  std::vector<int64_t> tokens;    // with the stop token, where one was reached
  std::vector<float> log_policy;  // nats per token, under softmax(logits / temperature)
  double log_behaviour = 0;       // nats, of all tokens under the law that they were drawn from; 0 where greedy
  double entropy = 0;             // nats, of the policy's density, summed over the tokens
  bool stopped = false;           // by a stop token; else cut off by max_new or the context
};

class TextSampler {
 public:
  using Uniform = std::function<double(int64_t row, int64_t position)>;  // in (0,1); position 0 = first new token
  using OnToken = std::function<void(int64_t row, int64_t token)>;       // a row's in their order
  using Prompts = std::vector<std::vector<int64_t>>;

  TextSampler(const DecoderConfig& config, Precision precision);
  ~TextSampler();

  // flat (P) float32: the parameters in the order of decoder_parameters.  Throws Failure where P is another number.
  void load(const at::Tensor& flat);
  int64_t memory_bytes() const;  // of the stored weights

  // One completion for every element of `rows`, which is the index of its prompt.  What all prompts begin with is
  // computed once, each prompt once, what completions of a prompt have in common once (their first tokens, as long as
  // they agree), and rows that have ended cost nothing more.  `uniform` is called once per token
  // (not where greedy), by the calling thread, as `on_token` is, which may be empty.
  // Throws Failure: a prompt that is empty, leaves no room in the context or has a token that the model does not know;
  // options out of their range; logits that are not numbers.
  std::vector<Completion> generate(const Prompts& prompts, std::span<const int64_t> rows, const SampleOptions& options,
                                   const Uniform& uniform, const OnToken& on_token = {});

 private:
  DecoderConfig config_;
  std::unique_ptr<CachedDecoder> decoder_;
};

}  // namespace tightrope
