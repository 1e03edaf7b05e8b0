// Questions that are drawn: draw `id` of a seed is a question by itself, and the first distinct ones are taken.
#include <algorithm>
#include <cmath>
#include <set>

#include "text_sources.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"

namespace tightrope {
namespace {

using Numbers = std::vector<int64_t>;

bool lists(const TextDataDeck& deck) { return deck.generator == "sort" || deck.generator == "max"; }
int64_t span(const TextDataDeck& deck) { return deck.most - deck.least + 1; }

// Exact below 2^53, and beyond it more than can be asked for.
double distinct_questions(const TextDataDeck& deck) {
  const auto n = static_cast<double>(span(deck));
  if (!lists(deck)) return n * n;
  double product = 1;
  for (int64_t i = 0; i < deck.count; ++i) product *= std::max(n - static_cast<double>(i), 0.0);
  return product;
}

// A whole number in [0, n).
int64_t below(int64_t n, uint64_t seed, uint64_t id, uint32_t position) {
  const double u = uniform(seed, Stream::data, id, position);
  return std::min(static_cast<int64_t>(u * static_cast<double>(n)), n - 1);
}

// An ordered sample without replacement: the r-th of the numbers that are left, found past those that are gone.
Numbers different_numbers(const TextDataDeck& deck, uint64_t seed, uint64_t id) {
  Numbers numbers;
  std::set<int64_t> gone;
  for (int64_t i = 0; i < deck.count; ++i) {
    int64_t number = deck.least + below(span(deck) - i, seed, id, static_cast<uint32_t>(i));
    for (const int64_t taken : gone) number += number >= taken;
    gone.insert(number);
    numbers.push_back(number);
  }
  return numbers;
}

std::string joined(const Numbers& numbers) {
  std::string out;
  for (const int64_t number : numbers) {
    if (!out.empty()) out += ' ';
    out += std::to_string(number);
  }
  return out;
}

Question drawn(const TextDataDeck& deck, uint64_t seed, uint64_t id) {
  std::string text, answer;
  if (lists(deck)) {
    Numbers numbers = different_numbers(deck, seed, id);
    text = (deck.generator == "sort" ? "sort " : "max of ") + joined(numbers);
    std::ranges::sort(numbers);
    answer = deck.generator == "sort" ? joined(numbers) : std::to_string(numbers.back());
  } else {
    const int64_t a = deck.least + below(span(deck), seed, id, 0), b = deck.least + below(span(deck), seed, id, 1);
    const bool sum = deck.generator == "addition";
    text = std::to_string(a) + (sum ? " + " : " * ") + std::to_string(b);
    answer = std::to_string(sum ? a + b : a * b);
  }
  return {text, answer, text};
}

// The first n distinct draws of `seed` that are not in `taken`, which they join.
std::vector<Question> draw(const TextDataDeck& deck, int64_t seed, int64_t n, std::set<std::string>& taken) {
  std::vector<Question> out;
  for (uint64_t id = 0; out.size() < static_cast<size_t>(n); ++id) {
    Question question = drawn(deck, static_cast<uint64_t>(seed), id);
    if (taken.insert(question.prompt).second) out.push_back(std::move(question));
  }
  return out;
}

void check(const TextDataDeck& deck) {
  const std::string numbers =
      "data.least = " + std::to_string(deck.least) + ", data.most = " + std::to_string(deck.most);
  VALIDATE(deck.least <= deck.most, "no number lies between data.least and data.most", numbers, "exchange them");
  const double there = distinct_questions(deck);
  const int64_t asked = deck.questions + deck.shots;
  VALIDATE(static_cast<double>(asked) <= there, std::to_string(asked) + " distinct questions cannot be drawn",
           "data.generator = " + deck.generator + " has " + std::to_string(std::llround(std::min(there, 1e15))) +
               " with " + numbers + (lists(deck) ? ", data.count = " + std::to_string(deck.count) : ""),
           "lower data.questions (and data.shots, which are drawn besides) or widen the range");
  VALIDATE(deck.heldout_questions < deck.questions, "no training question is left",
           "data.heldout_questions = " + std::to_string(deck.heldout_questions) +
               " of data.questions = " + std::to_string(deck.questions),
           "raise data.questions");
}

}  // namespace

TextData generate_questions(const TextDataDeck& deck) {
  check(deck);
  TextData data;
  std::set<std::string> taken;
  data.shots = draw(deck, deck.shots_seed, deck.shots, taken);
  data.heldout = draw(deck, deck.seed, deck.heldout_questions, taken);
  data.train = draw(deck, deck.seed, deck.questions - deck.heldout_questions, taken);
  return data;
}

}  // namespace tightrope
