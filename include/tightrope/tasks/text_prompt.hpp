#pragma once
// From a question to the text that the model sees.
#include <string>
#include <vector>

#include "tightrope/tasks/text_data.hpp"

namespace tightrope {

// What an escaped value of a deck stands for: \n, \t, \s, \# and \\; `key` is for the message where one is unknown.
std::string unescaped(const std::string& text, const std::string& key);

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
