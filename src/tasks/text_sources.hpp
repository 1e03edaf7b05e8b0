#pragma once
// The parts of text data.  Both sources give a TextData whose prompts are still the bare questions.
#include "tightrope/tasks/text_data.hpp"

namespace tightrope {

TextData generate_questions(const TextDataDeck& deck);  // data.generator
TextData read_questions(const TextDataDeck& deck);      // data.train, data.heldout

// Turns a question into the text that the model sees.
class PromptForm {
 public:
  // Throws Failure where the template lacks {prompt} or an escape is unknown.
  PromptForm(const TextDataDeck& deck, const std::vector<Question>& shots);
  std::string operator()(const std::string& question) const;

 private:
  std::string template_, examples_;
  std::string before_, after_;  // of the chat
};

}  // namespace tightrope
