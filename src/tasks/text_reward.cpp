#include "tightrope/tasks/text_reward.hpp"

#include <algorithm>
#include <cstdlib>

#include "tightrope/base/check.hpp"

namespace tightrope {

void TextRewardDeck::fields(FieldList& f) {
  constexpr Range range{-1e6, 1e6};
  f.choice("kind", kind, {"exact", "gsm8k"}, "exact: the text is the answer; gsm8k: its last number is the answer's");
  f.real("correct", correct, range, "reward", "of a right answer");
  f.real("wrong", wrong, range, "reward", "of a wrong answer");
  f.choice("missing_eos", missing_eos, {"add", "replace"},
           "a text without a stop token: missing_eos_reward is added to its grade or replaces it");
  f.real("missing_eos_reward", missing_eos_reward, range, "reward",
         "of a text without a stop token, negative to punish");
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_sign(char c) { return c == '+' || c == '-'; }

// The end of the digits that begin at `at`; a text past its end reads as zero bytes.
size_t past_digits(const std::string& text, size_t at) {
  while (is_digit(text[at])) ++at;
  return at;
}

// The end of the number that begins exactly at `at`, or `at`.  No alternative needs to step back: behind a run of
// digits only the next character decides.
size_t past_number(const std::string& text, size_t at) {
  const size_t first = at + is_sign(text[at]);
  const size_t whole = past_digits(text, first);
  if (whole == first) {  // .5
    const size_t end = text[first] == '.' ? past_digits(text, first + 1) : first;
    return end > first + 1 ? end : at;
  }
  if (text[whole] == '.') return past_digits(text, whole + 1);  // 5. and 5.25
  if (text[whole] == 'e') {                                     // 5e-3
    const size_t exponent = whole + 1 + is_sign(text[whole + 1]);
    const size_t end = past_digits(text, exponent);
    if (end > exponent) return end;
  }
  return whole;
}

std::string_view trimmed(std::string_view text) {
  constexpr const char* blanks = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(blanks);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_exact(std::string_view answer, std::string_view text) {
  const std::string_view wanted = trimmed(answer);
  std::string_view given = trimmed(text);
  if (given == wanted) return true;
  if (given.ends_with('.')) given.remove_suffix(1);
  return given == wanted;
}

// Beyond the range of float, IEC 559 makes both infinite, and so equal, as in TBA.
bool is_same_number(std::string_view answer, std::string_view text) {
  const auto wanted = last_number(answer), given = last_number(text);
  return wanted && given && static_cast<float>(*wanted) == static_cast<float>(*given);
}

}  // namespace

std::optional<double> last_number(std::string_view text) {
  std::string plain(text);
  std::erase(plain, ',');
  size_t begin = 0, end = 0;
  for (size_t at = 0; at < plain.size();) {
    const size_t past = past_number(plain, at);
    if (past > at) begin = at, end = past;
    at = std::max(past, at + 1);
  }
  if (begin == end) return std::nullopt;
  return std::strtod(plain.substr(begin, end - begin).c_str(), nullptr);
}

std::vector<std::string> text_reward_parts() { return {"correct", "missing_eos"}; }

Grade grade(const TextRewardDeck& deck, std::string_view answer, std::string_view text, bool ended) {
  Grade out;
  out.correct = deck.kind == "exact" ? is_exact(answer, text) : is_same_number(answer, text);
  out.parts[0] = out.correct ? deck.correct : deck.wrong;
  if (ended) return out;
  if (deck.missing_eos == "replace") out.parts[0] = 0;
  out.parts[1] = deck.missing_eos_reward;
  return out;
}

void check_answers(const TextRewardDeck& deck, std::span<const Question> questions) {
  if (deck.kind != "gsm8k") return;
  for (const Question& question : questions) {
    VALIDATE(last_number(question.answer), question.source + ": the answer has no number",
             "reward.kind = gsm8k compares numbers", "correct the answer or set reward.kind = exact");
  }
}

}  // namespace tightrope
