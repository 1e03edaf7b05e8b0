#pragma once
// Text reward: grades a completion against the answer of its question.
//
//   exact   the completion is the answer and nothing else; blanks around either and one final full stop are forgiven
//   gsm8k   the last number of the completion is the last number of the answer, compared as float32.  This is TBA's
//           grading of GSM8K (arXiv 2503.18929 and its public code); so "5-3" says -3, and numbers beyond 2^24 that
//           are equal in float32 are equal.
//
// A text that no stop token ended (it ran into its length limit):
//   missing_eos = add       is graded as it is, and missing_eos_reward is added    TBA on GSM8K: add, 0
//   missing_eos = replace   gets missing_eos_reward instead of its grade           TBA on TL;DR: replace, -1
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tightrope/core/deck.hpp"
#include "tightrope/tasks/text_data.hpp"

namespace tightrope {

struct TextRewardDeck {
  static constexpr const char* section = "reward";
  std::string kind = "exact", missing_eos = "add";
  double correct = 1, wrong = 0, missing_eos_reward = 0;
  void fields(FieldList& f);
};

struct Grade {
  std::array<double, 2> parts = {};  // in the order of text_reward_parts()
  bool correct = false;              // what the text says is right, however it ended
  double reward() const { return parts[0] + parts[1]; }
};

// The names of a reward's parts, which are logged one by one: "correct", "missing_eos".
std::vector<std::string> text_reward_parts();

// `text` is the completion without its stop token; `ended`: a stop token ended it.
Grade grade(const TextRewardDeck& deck, std::string_view answer, std::string_view text, bool ended);

// Throws Failure, naming the source, where an answer can never be matched: one without a number under gsm8k.
void check_answers(const TextRewardDeck& deck, std::span<const Question> questions);

// With commas deleted, the last match, left to right without overlap, of
//   [+-]?\d+\.\d* | [+-]?\.\d+ | [+-]?\d+e[-+]?\d+ | [+-]?\d+        (digits 0-9; the first alternative that matches)
// as the nearest double, infinite beyond its range.  "1,234" is 1234, "1.5e3" ends in 3.
std::optional<double> last_number(std::string_view text);

}  // namespace tightrope
