#pragma once
// TextTask: a language model that answers prompts, as a Task.  A query is a prompt, a transition is a token, and
// log p_ref is a frozen copy of the model that training starts from: TBA (arXiv 2503.18929, sec. 3.1) samples
// pi(y|x) proportional to pi_ref(y|x) exp(r(y; x) / temperature).  A completion has one order of its tokens, so log P_B
// is 0 and resample() gives the same trajectory.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tightrope/core/task.hpp"
#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/text_policy.hpp"
#include "tightrope/tasks/evaluation.hpp"

namespace tightrope {

struct TextDeck {
  static constexpr const char* section = "text";
  int64_t max_new = 32;            // T: tokens of a completion, its stop token included
  std::string stop;                // a text of one token that ends a completion, beside the model's own
  bool count_eos = true;           // the stop token's log-prob is part of both densities
  double temperature = 1;          // of both densities, divides the logits
  int64_t tokens_at_once = 16384;  // per forward and backward pass
  void fields(FieldList& f);
};

// What a text task is about, free of files: token ids in, grades out.
struct TextProblem {
  using Tokens = std::span<const int32_t>;
  struct Question {
    std::vector<int32_t> prompt;
    std::string source;  // for people
    int64_t number = 0;  // for grade()
  };
  struct Grade {
    std::vector<float> parts;  // their sum is r
    bool correct = false;
  };
  DecoderConfig config;
  std::function<void(const Tensor& flat)> load;  // the reference's weights, (P) in decoder_parameters order
  std::vector<Question> train, heldout;          // queries are train's indices
  std::vector<int32_t> stop;                     // any of these ends a completion
  std::vector<std::string> parts;                // names of the reward's parts
  std::function<Grade(const Question&, Tokens completion, bool ended)> grade;
  std::function<std::string(Tokens)> decode;
  std::function<void(std::span<const float> flat, const std::string& folder)> save;  // empty: nothing is exported
  std::string summary;      // where the questions come from, in lines
  bool enumerable = false;  // every completion has exactly max_new tokens and no stop
};

class TextTask final : public Task {
 public:
  // compute: of the scorer's products; sampler: of the sampler's weights.
  TextTask(TextProblem problem, const TextDeck& deck, Precision compute, Precision sampler,
           const EvaluationDeck& evaluation);

  Layout layout() const override;
  int64_t queries() const override { return static_cast<int64_t>(problem_.train.size()); }
  Needs supplies() const override { return {.groups = true}; }
  std::unique_ptr<Policy> make_policy(const Needs& needs) const override;
  Batch sample(Policy& policy, const Tensor& query, const Exploration& explore, const Keys& keys) const override;
  void complete(Batch& sampled) const override { sampled.log_ref = log_ref(sampled); }
  Batch resample(Policy&, const Batch& terminals, const Keys&) const override { return terminals; }
  Scores score(Policy& policy, const Batch& batch) const override;
  int64_t rows_at_once(const Batch& batch, int64_t first) const override;
  Metrics evaluate(Policy& policy, Slice slice, const Keys& keys) const override;
  Metrics exact() const override;
  std::string describe(const Batch& batch, int64_t row) const override;
  std::string summary() const override;
  void export_policy(const Policy& policy, const std::string& folder) const override;  // folder/model
  int64_t frozen_bytes() const override;  // of the reference, in the scorer's precision
  void fill_frozen(std::span<std::byte> memory) const override;
  void use_frozen(std::span<const std::byte> memory) const override;

  // (B) float64 log p_ref of the completions, by the same scorer as the policy's.  No gradients.
  Tensor log_ref(const Batch& batch) const;
  const TextProblem& problem() const { return problem_; }

 private:
  at::ScalarType dtype() const;  // of the reference
  struct Asked;                  // of a decoder: the batch's tree and which of its nodes predicts which token
  Asked asked(const Batch& batch) const;
  Tensor spread_out(const Asked& asked, const Tensor& log_prob, const Batch& batch) const;  // (B,T) float64
  Metrics evaluate_exactly(TextPolicy& policy) const;
  Metrics evaluate_answers(TextPolicy& policy, int64_t first, int64_t last, int64_t samples, uint64_t seed) const;
  Batch all_completions(int64_t query) const;
  const Tensor& reference() const;  // (P), the node's copy, or loaded at its first use

  TextProblem problem_;
  TextDeck deck_;
  Precision sampler_;
  EvaluationDeck evaluation_;
  Decoder decoder_;
  int64_t values_ = 0;  // P
  mutable Tensor reference_;
};

}  // namespace tightrope
