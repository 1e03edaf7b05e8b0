// The questions that generators draw.
#include <algorithm>
#include <map>
#include <sstream>

#include "text_fixture.hpp"

namespace tightrope {
namespace {

using namespace text_fixture;

std::vector<int64_t> numbers(const std::string& text) {
  std::istringstream in(text);
  std::vector<int64_t> out;
  for (std::string word; in >> word;) {
    if (word.find_first_of("0123456789") != std::string::npos) out.push_back(std::stoll(word));
  }
  return out;
}

TEST(TextGenerator, SortsAndFindsTheLargest) {
  for (const std::string kind : {"sort", "max"}) {
    TextDataDeck deck = generated(kind, 2000, 64);
    deck.count = kind == "sort" ? 3 : 4;
    const TextData data = load(deck);
    std::map<int64_t, int> often;
    for (const Question& question : data.train) {
      EXPECT_TRUE(question.prompt.starts_with(kind == "sort" ? "sort " : "max of "));
      std::vector<int64_t> drawn = numbers(question.prompt);
      ASSERT_EQ(static_cast<int64_t>(drawn.size()), deck.count);
      for (const int64_t number : drawn) ++often[number];
      std::ranges::sort(drawn);
      EXPECT_EQ(std::ranges::adjacent_find(drawn), drawn.end()) << question.prompt;
      if (kind == "max") drawn = {drawn.back()};
      EXPECT_EQ(numbers(question.answer), drawn);
      EXPECT_EQ(question.source, question.prompt);
    }
    const double expected = static_cast<double>(deck.count) * 1936 / 99;
    double chi2 = 0;  // 98 degrees of freedom: 98 +- 14
    for (int64_t number = 1; number <= 99; ++number)
      chi2 += (often[number] - expected) * (often[number] - expected) / expected;
    EXPECT_EQ(often.size(), 99U);
    EXPECT_LT(chi2, 98 + 5 * 14);
  }
}

TEST(TextGenerator, DrawsEachQuestionThereIs) {
  TextDataDeck deck = generated("addition", 81, 9);
  deck.most = 9;
  TextData data = load(deck);
  std::set<std::string> all = sources(data.train);
  all.merge(sources(data.heldout));
  EXPECT_EQ(all.size(), 81U);
  EXPECT_TRUE(all.contains("1 + 9") && all.contains("9 + 1") && all.contains("5 + 5"));
  deck.generator = "multiplication";
  for (const Question& question : load(deck).train) {
    const auto pair = numbers(question.prompt);
    EXPECT_EQ(question.prompt, std::to_string(pair[0]) + " * " + std::to_string(pair[1]));
    EXPECT_EQ(question.answer, std::to_string(pair[0] * pair[1]));
  }
  TextDataDeck sort = generated("sort", 24, 0);
  sort.most = 4;
  EXPECT_EQ(sources(load(sort).train).size(), 24U);
}

TEST(TextGenerator, KeepsSignsAndLargeProducts) {
  TextDataDeck deck = generated("multiplication", 9, 0);
  deck.least = -1'000'000'000;
  deck.most = -999'999'998;
  for (const Question& question : load(deck).train) {
    const auto pair = numbers(question.prompt);
    EXPECT_EQ(question.answer, std::to_string(pair[0] * pair[1]));
  }
}

TEST(TextGenerator, KeepsItsSetsApart) {
  TextDataDeck deck = generated("max", 24, 8);
  deck.count = 2;
  deck.most = 6;  // 30 questions in all
  deck.shots = 6;
  const TextData data = load(deck);
  EXPECT_EQ(data.summary(), "16 training questions, 8 held out, 6 as examples");
  std::set<std::string> all = sources(data.train);
  all.merge(sources(data.heldout));
  all.merge(sources(data.shots));
  EXPECT_EQ(all.size(), 30U);
}

TEST(TextGenerator, IsAFunctionOfItsSeeds) {
  TextDataDeck deck = generated("sort", 100, 10);
  const TextData first = load(deck);
  EXPECT_EQ(sources(load(deck).train), sources(first.train));
  deck.questions = 50;  // fewer: the first of the same
  const TextData fewer = load(deck);
  EXPECT_EQ(sources(fewer.heldout), sources(first.heldout));
  for (size_t i = 0; i < fewer.train.size(); ++i) EXPECT_EQ(fewer.train[i].source, first.train[i].source);
  deck.seed = 2;
  EXPECT_NE(sources(load(deck).train), sources(fewer.train));
  deck.shots = 3;
  const auto shots = sources(load(deck).shots);
  deck.shots_seed = 5;
  EXPECT_NE(sources(load(deck).shots), shots);
}

TEST(TextGenerator, SaysHowManyQuestionsThereAre) {
  TextDataDeck deck = generated("addition", 80, 9);
  deck.most = 9;
  deck.shots = 2;
  EXPECT_EQ(
      failure(deck),
      "82 distinct questions cannot be drawn (data.generator = addition has 81 with data.least = 1, data.most = 9) "
      "lower data.questions (and data.shots, which are drawn besides) or widen the range");
  TextDataDeck sort = generated("sort", 1, 0);
  sort.most = 2;
  EXPECT_TRUE(says(failure(sort), "1 distinct questions cannot be drawn", "has 0 with"));
  deck.least = 10;
  EXPECT_TRUE(says(failure(deck), "no number lies between data.least and data.most"));
  EXPECT_TRUE(says(failure(generated("sort", 10, 10)), "no training question is left"));
}

TEST(TextPrompt, PutsSolvedExamplesInFront) {
  TextDataDeck deck = generated("sort", 10, 5);
  deck.shots = 2;
  const TextData data = load(deck);
  std::string examples;
  for (const Question& shot : data.shots) examples += "Q: " + shot.prompt + "\nA: " + shot.answer + "\n";
  ASSERT_EQ(data.shots.size(), 2U);
  for (const auto& set : {data.train, data.heldout})
    for (const Question& question : set) EXPECT_EQ(question.prompt, examples + "Q: " + question.source + "\nA:");
}

}  // namespace
}  // namespace tightrope
