#include "tightrope/tasks/text_data.hpp"

#include "text_sources.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/tasks/text_prompt.hpp"

namespace tightrope {

void TextDataDeck::fields(FieldList& f) {
  constexpr double largest = 1e9;  // a product still fits into 64 bits
  f.choice("generator", generator, {"none", "sort", "max", "addition", "multiplication"},
           "draws questions; none: they come from the file train");
  f.text("train", train, "JSON Lines, one question per line");
  f.text("heldout", heldout, "the same with the held-out questions; empty: heldout_questions of train are held out");
  f.text("prompt_field", prompt_field, "name of the question in each line");
  f.text("answer_field", answer_field, "name of the answer in each line");
  f.text("template", prompt_template,
         "around each question, which stands for {prompt}; \\n \\t \\\\, \\s for a blank, \\# for a # after a blank");
  f.choice("chat", chat, {"none", "chatml"}, "chatml: the prompt becomes a user's turn after a system turn");
  f.text("system", system,
         "system turn of chatml, escapes as in template; empty: the one that SmolLM2 was trained with");
  f.count("seed", seed, {0, 9e18}, "", "chooses the questions of a generator, or which ones of train are held out");
  f.count("count", count, {2, 64}, "numbers", "per question of sort and max");
  f.count("least", least, {-largest, largest}, "", "smallest number in a generator's question");
  f.count("most", most, {-largest, largest}, "", "largest number in a generator's question");
  f.count("questions", questions, {1, 1e7}, "questions",
          "distinct ones that a generator draws, held-out ones included");
  f.count("heldout_questions", heldout_questions, {0, 1e7}, "questions",
          "of them, or of train, that are never trained on; a heldout file is used as a whole instead");
  f.count("shots", shots, {0, 1000}, "examples", "solved questions in front of each question; they are in no set");
  f.count("shots_seed", shots_seed, {0, 9e18}, "", "chooses the examples");
  f.count("max_prompt_tokens", max_prompt_tokens, {0, 1e9}, "tokens", "longer prompts are dropped; 0 = no bound");
}

namespace {

void check(const TextDataDeck& deck) {
  const bool generated = deck.generator != "none";
  VALIDATE(generated || !deck.train.empty(), "no questions to train on", "neither data.generator nor data.train is set",
           "set one of them");
  VALIDATE(!generated || (deck.train.empty() && deck.heldout.empty()),
           "data.generator = " + deck.generator + " and a file of questions are both set",
           "a generator draws its held-out questions too", "remove one of them");
  VALIDATE(deck.system.empty() || deck.chat != "none", "data.system has no effect", "data.chat is none",
           "set data.chat = chatml or remove data.system");
}

// Replaces each bare question by its prompt and drops the long ones; returns how many.
int64_t render(std::vector<Question>& questions, const PromptForm& form, int64_t most_tokens,
               const std::function<int64_t(const std::string&)>& tokens) {
  for (Question& question : questions) question.prompt = form(question.prompt);
  if (most_tokens == 0) return 0;
  return static_cast<int64_t>(
      std::erase_if(questions, [&](const Question& question) { return tokens(question.prompt) > most_tokens; }));
}

std::string counted(int64_t n, const std::string& what) { return ", " + std::to_string(n) + " " + what; }

}  // namespace

std::string TextData::summary() const {
  std::string out = std::to_string(train.size()) + " training questions";
  out += counted(static_cast<int64_t>(heldout.size()), "held out");
  if (!shots.empty()) out += counted(static_cast<int64_t>(shots.size()), "as examples");
  std::string dropped;
  if (repeated > 0) dropped += counted(repeated, "repeated");
  if (also_heldout > 0) dropped += counted(also_heldout, "also held out");
  if (too_long > 0) dropped += counted(too_long, "longer than max_prompt_tokens");
  return dropped.empty() ? out : out + "; dropped: " + dropped.substr(2);
}

TextData load_text_data(const TextDataDeck& deck, const std::function<int64_t(const std::string&)>& tokens) {
  check(deck);
  TextData data = deck.generator != "none" ? generate_questions(deck) : read_questions(deck);
  const PromptForm form(deck, data.shots);
  const bool holds_out = !data.heldout.empty();
  data.too_long = render(data.train, form, deck.max_prompt_tokens, tokens) +
                  render(data.heldout, form, deck.max_prompt_tokens, tokens);
  VALIDATE(!data.train.empty(), "no training question is left", data.summary(),
           "give more questions or raise data.max_prompt_tokens");
  VALIDATE(!holds_out || !data.heldout.empty(), "no held-out question is left", data.summary(),
           "give more questions or raise data.max_prompt_tokens");
  return data;
}

}  // namespace tightrope
