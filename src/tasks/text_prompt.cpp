// From a question to the text that the model sees.
#include "tightrope/tasks/text_prompt.hpp"

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr const char* slot = "{prompt}";
// What the chat template of SmolLM2 puts in front of a conversation without a system turn.
constexpr const char* default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

std::string turn(const std::string& role, const std::string& content) {
  return "<|im_start|>" + role + "\n" + content + "<|im_end|>\n";
}

}  // namespace

// A deck trims values and cuts comments, so line ends, tabs, outer blanks and some # must be written as escapes.
std::string unescaped(const std::string& text, const std::string& key) {
  static constexpr std::string_view letters = "nts#\\", meanings = "\n\t #\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const size_t which = i + 1 < text.size() ? letters.find(text[i + 1]) : std::string_view::npos;
    VALIDATE(which != std::string_view::npos, key + " has the unknown escape '" + text.substr(i, 2) + "'",
             "known are \\n, \\t, \\s, \\# and \\\\", "write \\\\ for a backslash");
    out += meanings[which];
    ++i;
  }
  return out;
}

PromptForm::PromptForm(const TextDataDeck& deck, const std::vector<Question>& shots)
    : template_(unescaped(deck.prompt_template, "data.template")) {
  VALIDATE(template_.find(slot) != std::string::npos, "data.template has no {prompt}",
           "every question would look the same", "write {prompt} where the question belongs");
  for (const Question& shot : shots) examples_ += "Q: " + shot.prompt + "\nA: " + shot.answer + "\n";
  if (deck.chat == "none") return;
  const std::string conversation =
      turn("system", deck.system.empty() ? default_system : unescaped(deck.system, "data.system")) + turn("user", slot);
  const size_t at = conversation.rfind(slot);
  before_ = conversation.substr(0, at);
  after_ = conversation.substr(at + std::string_view(slot).size()) + "<|im_start|>assistant\n";
}

std::string PromptForm::operator()(const std::string& question) const {
  const std::string text = examples_.empty() ? question : examples_ + "Q: " + question + "\nA:";
  std::string out = before_;
  size_t from = 0;
  for (size_t at = template_.find(slot); at != std::string::npos; at = template_.find(slot, from)) {
    out.append(template_, from, at - from) += text;
    from = at + std::string_view(slot).size();
  }
  return out.append(template_, from) + after_;
}

}  // namespace tightrope
