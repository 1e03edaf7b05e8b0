// The smallest text task: a random decoder over a few tokens, completions of one length, a random reward for each.
// All completions can be enumerated, so that training is compared with pi_ref(y|x) exp(r(y; x)) / Z itself.
#include <algorithm>
#include <cmath>

#include "tightrope/core/rng.hpp"
#include "tightrope/tasks/text_problems.hpp"

namespace tightrope {

void TokensDeck::fields(FieldList& f) {
  f.count("vocabulary", vocabulary, {2, 1e6}, "tokens", "distinct tokens");
  f.count("length", length, {1, 64}, "tokens", "of every completion");
  f.count("prompts", prompts, {1, 1e6}, "prompts", "queries, prompt q is tokens 0, 1, then q mod vocabulary, repeated");
  f.count("hidden", hidden, {4, 65536}, "units", "width of the decoder, a multiple of 4");
  f.count("layers", layers, {1, 1024}, "layers", "of the decoder");
  f.real("reward_spread", reward_spread, {0, 1e3}, "nats", "standard deviation of the completions' rewards");
  f.count("seed", seed, {0, 9e18}, "", "of the decoder and the rewards");
}

DecoderConfig small_decoder(const TokensDeck& deck) {
  DecoderConfig config;
  config.vocabulary = deck.vocabulary;
  config.hidden = deck.hidden;
  config.layers = deck.layers;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_size = deck.hidden / 2;
  config.ffn = 2 * deck.hidden;
  config.context = deck.length + deck.prompts + 3;
  config.tied = false;
  return config;
}

// Norms are 1; every matrix is normal and scaled to its fan-in.
void random_weights(const DecoderConfig& config, uint64_t seed, const Tensor& flat) {
  float* value = flat.mutable_data_ptr<float>();
  uint64_t index = 0;
  for (const TensorShape& tensor : decoder_parameters(config)) {
    ++index;
    const bool matrix = tensor.shape.size() == 2;
    const int64_t count = matrix ? tensor.shape[0] * tensor.shape[1] : tensor.shape[0];
    const bool embedding = tensor.name == "model.embed_tokens.weight";
    const double scale = embedding ? 1 : 1 / std::sqrt(static_cast<double>(matrix ? tensor.shape[1] : 1));
    for (int64_t i = 0; i < count; ++i)
      *value++ =
          matrix ? static_cast<float>(scale * normal(seed, Stream::weights, index, static_cast<uint32_t>(i))) : 1;
  }
}

// Each completion of each prompt has a number of its own: nothing can be generalised.
double random_reward(const TokensDeck& deck, TextProblem::Tokens prompt, TextProblem::Tokens tokens) {
  uint64_t number = prompt.size();
  const auto append = [&](int32_t token) {
    number = number * static_cast<uint64_t>(deck.vocabulary) + static_cast<uint64_t>(token);
  };
  append(prompt.back());
  std::ranges::for_each(tokens, append);
  return deck.reward_spread * normal(static_cast<uint64_t>(deck.seed), Stream::data, number, 0);
}

TextProblem tokens_problem(const TokensDeck& deck) {
  TextProblem problem;
  problem.config = small_decoder(deck);
  problem.load = [config = problem.config, seed = static_cast<uint64_t>(deck.seed)](const Tensor& flat) {
    random_weights(config, seed, flat);
  };
  for (int64_t q = 0; q < deck.prompts; ++q) {
    const auto token = static_cast<int32_t>(q % deck.vocabulary);
    const auto repeats = static_cast<size_t>(q / deck.vocabulary + 1);
    // Two different tokens first: rotary attention to tokens that are all equal cannot tell positions apart.
    std::vector<int32_t> prompt = {0, 1};
    prompt.insert(prompt.end(), repeats, token);
    problem.train.push_back({prompt, "prompt " + std::to_string(q)});
  }
  problem.parts = {"log_reward"};
  problem.grade = [deck](const TextProblem::Question& question, TextProblem::Tokens tokens, bool) {
    return TextProblem::Grade{{static_cast<float>(random_reward(deck, question.prompt, tokens))}, false};
  };
  problem.decode = [](TextProblem::Tokens tokens) {
    std::string text;
    for (const int32_t token : tokens) {
      if (!text.empty()) text += ' ';
      text += std::to_string(token);
    }
    return text;
  };
  problem.enumerable = std::pow(deck.vocabulary, deck.length) <= 1e5;
  problem.summary = std::to_string(deck.prompts) + " prompts, completions of " + std::to_string(deck.length) + " of " +
                    std::to_string(deck.vocabulary) + " tokens";
  return problem;
}

}  // namespace tightrope
