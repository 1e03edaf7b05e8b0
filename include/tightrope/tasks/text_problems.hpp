#pragma once
// Where text problems come from: a model's folder with questions and a verifier, or a random decoder over a few tokens.
#include "tightrope/core/deck.hpp"
#include "tightrope/tasks/text_data.hpp"
#include "tightrope/tasks/text_reward.hpp"
#include "tightrope/tasks/text_task.hpp"

namespace tightrope {

struct ModelDeck {
  static constexpr const char* section = "model";
  std::string path;                          // a Hugging Face folder
  std::string compute = "auto";              // auto | float32 | bfloat16
  std::string sampler_weights = "bfloat16";  // bfloat16 | float32
  std::string export_precision = "float32";  // float32 | bfloat16 | no
  void fields(FieldList& f);
  Precision compute_precision() const;
  Precision sampler_precision() const;
};

struct TokensDeck {
  static constexpr const char* section = "tokens";
  int64_t vocabulary = 4, length = 4, prompts = 2;
  int64_t hidden = 64, layers = 3;
  double reward_spread = 1;
  int64_t seed = 1;
  void fields(FieldList& f);
};

// Reads the model's folder and the questions; throws Failure where anything about them is wrong.
TextProblem text_problem(const ModelDeck& model, const TextDataDeck& data, const TextRewardDeck& reward,
                         const TextDeck& text);
TextProblem tokens_problem(const TokensDeck& deck);

}  // namespace tightrope
