// A text problem from files: the model's folder, its tokenizer, the questions and their verifier.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/model_folder.hpp"
#include "tightrope/tasks/text_problems.hpp"
#include "tightrope/tasks/text_prompt.hpp"
#include "tightrope/tasks/tokenizer.hpp"

namespace tightrope {
namespace {

// Stop tokens: the model's own, and the deck's text, which must be one token.
std::vector<int32_t> stop_tokens(const DecoderConfig& config, const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> stop(config.eos.begin(), config.eos.end());
  if (!text.empty()) {
    const auto ids = tokenizer.encode(unescaped(text, "text.stop"));
    VALIDATE(ids.size() == 1, "text.stop = " + text + " cannot end a completion",
             "it is " + std::to_string(ids.size()) + " tokens of this model", "give a text that is one token");
    stop.push_back(ids.front());
  }
  VALIDATE(!stop.empty(), "nothing ends a completion", "the model's folder names no eos_token_id", "give text.stop");
  return stop;
}

std::vector<TextProblem::Question> tokenized(const std::vector<Question>& questions, const Tokenizer& tokenizer,
                                             std::vector<std::string>& answers) {
  std::vector<TextProblem::Question> all;
  for (const Question& question : questions) {
    all.push_back({tokenizer.encode(question.prompt, true), question.source, static_cast<int64_t>(answers.size())});
    answers.push_back(question.answer);
  }
  return all;
}

std::string token_range(const std::vector<TextProblem::Question>& questions) {
  size_t least = questions.front().prompt.size(), most = least;
  for (const auto& question : questions) {
    least = std::min(least, question.prompt.size());
    most = std::max(most, question.prompt.size());
  }
  return std::to_string(least) + " to " + std::to_string(most) + " tokens";
}

void check_context(const std::vector<TextProblem::Question>& questions, const DecoderConfig& config, int64_t max_new) {
  for (const auto& question : questions) {
    const auto length = static_cast<int64_t>(question.prompt.size());
    VALIDATE(length + max_new <= config.context, "the prompt of " + question.source + " is too long",
             std::to_string(length) + " tokens and text.max_new = " + std::to_string(max_new) + " exceed the model's " +
                 std::to_string(config.context),
             "lower data.max_prompt_tokens or text.max_new");
    VALIDATE(length > 0, "the prompt of " + question.source + " is empty", "it has no token", "remove it");
  }
}

}  // namespace

void ModelDeck::fields(FieldList& f) {
  f.text("path", path, "a Hugging Face folder: config.json, *.safetensors, tokenizer.json (Llama family)");
  f.choice("compute", compute, {"auto", "float32", "bfloat16"},
           "what products are rounded to when scoring and training; auto = bfloat16 where the processor multiplies it");
  f.choice("export", export_precision, {"float32", "bfloat16", "no"},
           "what the run leaves in its folder model/ at its end, as a Hugging Face folder");
  f.choice("sampler_weights", sampler_weights, {"bfloat16", "float32"},
           "precision of the sampler's copy of the weights");
}

// A run's folder keeps the model of its newest end.
void replace_model(const std::string& folder, const DecoderConfig& config, std::span<const float> flat,
                   const ModelDeck& deck) {
  std::filesystem::remove_all(folder);
  const auto type = deck.export_precision == "bfloat16" ? Dtype::bfloat16 : Dtype::float32;
  write_model_folder(folder, config, flat, type, deck.path);
}

Precision ModelDeck::compute_precision() const {
  if (compute == "auto") return native_precision();
  return compute == "bfloat16" ? Precision::bfloat16 : Precision::float32;
}

Precision ModelDeck::sampler_precision() const {
  return sampler_weights == "bfloat16" ? Precision::bfloat16 : Precision::float32;
}

TextProblem text_problem(const ModelDeck& model, const TextDataDeck& data, const TextRewardDeck& reward,
                         const TextDeck& text) {
  VALIDATE(!model.path.empty(), "model.path is not given", "task.kind = text needs a model",
           "give a Hugging Face folder; jobs/get-smollm2.sh makes one");
  const auto folder = std::make_shared<ModelFolder>(model.path);
  folder->check_values();  // now, and not after windows have been made and outputs opened
  const auto tokenizer = std::make_shared<Tokenizer>(model.path);
  const TextData questions = load_text_data(
      data, [&](const std::string& prompt) { return static_cast<int64_t>(tokenizer->encode(prompt, true).size()); });
  check_answers(reward, questions.train);
  check_answers(reward, questions.heldout);
  TextProblem problem;
  problem.config = folder->config();
  problem.load = [folder](const Tensor& flat) {
    folder->load({flat.mutable_data_ptr<float>(), static_cast<size_t>(flat.numel())});
  };
  const auto answers = std::make_shared<std::vector<std::string>>();
  problem.train = tokenized(questions.train, *tokenizer, *answers);
  problem.heldout = tokenized(questions.heldout, *tokenizer, *answers);
  check_context(problem.train, problem.config, text.max_new);
  check_context(problem.heldout, problem.config, text.max_new);
  problem.stop = stop_tokens(problem.config, *tokenizer, text.stop);
  problem.parts = text_reward_parts();
  problem.decode = [tokenizer](TextProblem::Tokens tokens) { return tokenizer->decode(tokens, false); };
  problem.grade = [reward, tokenizer, answers](const TextProblem::Question& question, TextProblem::Tokens tokens,
                                               bool ended) {
    const auto said = ended ? tokens.first(tokens.size() - 1) : tokens;  // without the stop token
    const auto& answer = (*answers)[static_cast<size_t>(question.number)];
    const Grade graded = grade(reward, answer, tokenizer->decode(said), ended);
    return TextProblem::Grade{{static_cast<float>(graded.parts[0]), static_cast<float>(graded.parts[1])},
                              graded.correct};
  };
  if (model.export_precision != "no")
    problem.save = [model, config = problem.config](std::span<const float> flat, const std::string& target) {
      replace_model(target, config, flat, model);
    };
  problem.summary =
      "  questions             " + questions.summary() + "\n  prompts               " + token_range(problem.train);
  return problem;
}

}  // namespace tightrope
