#pragma once
// What the tests of text data share.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/tasks/text_data.hpp"

namespace tightrope::text_fixture {

// The tests read prompts of few tokens: one per byte.
inline TextData load(const TextDataDeck& deck) {
  return load_text_data(deck, [](const std::string& text) { return static_cast<int64_t>(text.size()); });
}

inline std::string failure(const TextDataDeck& deck) {
  try {
    load(deck);
  } catch (const Failure& error) {
    return error.what();
  }
  return "no Failure";
}

// `message` begins with `begin` and holds `part`.
inline ::testing::AssertionResult says(const std::string& message, const std::string& begin,
                                       const std::string& part = "") {
  if (message.starts_with(begin) && message.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << message;
}

inline TextDataDeck generated(const std::string& generator, int64_t questions, int64_t heldout) {
  TextDataDeck deck;
  deck.generator = generator;
  deck.questions = questions;
  deck.heldout_questions = heldout;
  return deck;
}

inline std::set<std::string> sources(const std::vector<Question>& questions) {
  std::set<std::string> out;
  for (const Question& question : questions) out.insert(question.source);
  return out;
}

}  // namespace tightrope::text_fixture
