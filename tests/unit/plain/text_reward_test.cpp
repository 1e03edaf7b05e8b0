#include "tightrope/tasks/text_reward.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

bool exact(const std::string& answer, const std::string& text) { return grade({}, answer, text, true).correct; }

TextRewardDeck gsm8k() {
  TextRewardDeck deck;
  deck.kind = "gsm8k";
  return deck;
}

bool same_number(const std::string& answer, const std::string& text) {
  return grade(gsm8k(), answer, text, true).correct;
}

// tests/fixtures/extraction.json holds what Python's re and float give.
TEST(TextReward, ExtractsTheNumbersThatPythonDoes) {
  std::ifstream file(TIGHTROPE_SOURCE "/tests/fixtures/extraction.json");
  const auto rows = nlohmann::json::parse(file);
  ASSERT_GE(rows.size(), 150U);
  for (const auto& row : rows) {
    const auto found = last_number(row[0].get<std::string>());
    ASSERT_EQ(found.has_value(), !row[1].is_null()) << row;
    if (!found) continue;
    EXPECT_EQ(*found, std::strtod(row[1].get<std::string>().c_str(), nullptr)) << row;
  }
}

TEST(TextReward, ExtractsAsTbaDoes) {
  EXPECT_EQ(last_number("1,234"), 1234);
  EXPECT_EQ(last_number("x = 5-3"), -3);
  EXPECT_EQ(last_number("3.50"), 3.5);
  EXPECT_EQ(last_number("none"), std::nullopt);
}

TEST(TextReward, ComparesNumbersAsFloat32) {
  EXPECT_TRUE(same_number("48+24 = <<48+24=72>>72 clips.\n#### 72", "The answer is 72."));
  EXPECT_TRUE(same_number("#### 1,000", "1000.00"));
  EXPECT_FALSE(same_number("#### 72", "72 of 100"));
  EXPECT_FALSE(same_number("#### 3", "5-3"));
  EXPECT_FALSE(same_number("#### 72", "none"));
  EXPECT_TRUE(same_number("#### 16777216", "16777217"));
  EXPECT_FALSE(same_number("#### 16777216", "16777218"));
  EXPECT_TRUE(same_number("#### 1e39", "1e400"));
}

TEST(TextReward, ForgivesBlanksAndOneFullStopAlone) {
  EXPECT_TRUE(exact("32 60 73", " 32 60 73"));
  EXPECT_TRUE(exact("32 60 73", "\t32 60 73.\n"));
  EXPECT_TRUE(exact(" 71\n", "71"));
  EXPECT_TRUE(exact("It is.", "It is."));
  EXPECT_FALSE(exact("32 60 73", "32 60 73.."));
  EXPECT_FALSE(exact("32 60 73", "32 60 73 ."));
  EXPECT_FALSE(exact("32 60 73", "32  60 73"));
  EXPECT_FALSE(exact("32 60 73", "32 60 73 80"));
  EXPECT_FALSE(exact("5", ""));
}

TEST(TextReward, GivesTheRewardsOfTheDeck) {
  TextRewardDeck deck;
  deck.correct = 2;
  deck.wrong = -0.5;
  deck.missing_eos_reward = -1;  // ended texts do not get it
  EXPECT_EQ(grade(deck, "5", "5", true).reward(), 2);
  EXPECT_EQ(grade(deck, "5", "6", true).reward(), -0.5);
}

TEST(TextReward, AddsToTheGradeOfATextWithoutEnd) {
  TextRewardDeck deck = gsm8k();
  EXPECT_EQ(grade(deck, "#### 5", "so 5", false).reward(), 1);
  deck.missing_eos_reward = -0.25;
  const Grade right = grade(deck, "#### 5", "so 5", false), wrong = grade(deck, "#### 5", "so 6", false);
  EXPECT_EQ(right.parts, (std::array<double, 2>{1, -0.25}));
  EXPECT_EQ(right.reward(), 0.75);
  EXPECT_TRUE(right.correct);
  EXPECT_EQ(wrong.reward(), -0.25);
  EXPECT_FALSE(wrong.correct);
}

TEST(TextReward, ReplacesTheGradeOfATextWithoutEnd) {
  TextRewardDeck deck;
  deck.missing_eos = "replace";
  deck.missing_eos_reward = -1;
  const Grade right = grade(deck, "5", "5", false);
  EXPECT_EQ(right.parts, (std::array<double, 2>{0, -1}));
  EXPECT_TRUE(right.correct);
  EXPECT_EQ(grade(deck, "5", "6", false).reward(), -1);
  EXPECT_EQ(grade(deck, "5", "5", true).reward(), 1);
}

TEST(TextReward, NamesEachPart) {
  const auto names = text_reward_parts();
  EXPECT_EQ(names, (std::vector<std::string>{"correct", "missing_eos"}));
  EXPECT_EQ(names.size(), Grade{}.parts.size());
}

TEST(TextReward, RefusesAnAnswerWithoutANumber) {
  const std::vector<Question> questions = {{"a", "#### 5", "q.jsonl:1"}, {"b", "#### five", "q.jsonl:2"}};
  EXPECT_NO_THROW(check_answers({}, questions));
  try {
    check_answers(gsm8k(), questions);
    FAIL() << "no Failure";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(),
                 "q.jsonl:2: the answer has no number (reward.kind = gsm8k compares numbers) correct the answer or set "
                 "reward.kind = exact");
  }
}

}  // namespace
}  // namespace tightrope
