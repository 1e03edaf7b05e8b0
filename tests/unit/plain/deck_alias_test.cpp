// Sections that are other spellings of keys.
#include <gtest/gtest.h>

#include "deck_fixture.hpp"

namespace tightrope {
namespace {

using namespace deck_fixture;

Schema with_aliases() {
  return schema().alias("short", "other names", {{"b", "trainer.batch"}, {"rate", "trainer.learning_rate"}});
}

Deck read(const std::string& text, const Lines& overrides = {}) {
  return {with_aliases(), text, "deck.ini", overrides};
}

Lines problems_of(const std::string& text, const Lines& overrides = {}) {
  try {
    read(text, overrides);
  } catch (const DeckError& error) {
    return error.problems();
  }
  return {};
}

TEST(DeckAlias, SetsTheKeyThatItNames) {
  const Deck deck = read("[short]\nb = 32\n", {"--short.rate=0.5"});
  EXPECT_EQ(deck.get<TrainerDeck>().batch, 32);
  EXPECT_EQ(deck.get<TrainerDeck>().learning_rate, 0.5);
  EXPECT_EQ(deck.origin("trainer.batch"), "deck.ini:2");
  EXPECT_EQ(deck.hash(), read("[trainer]\nbatch = 32\nlearning_rate = 0.5\n").hash());
  EXPECT_EQ(deck.resolved().find("[short]"), std::string::npos);
}

TEST(DeckAlias, TheCommandLineWinsUnderEitherName) {
  EXPECT_EQ(read("[short]\nb = 32\n", {"--trainer.batch=64"}).get<TrainerDeck>().batch, 64);
  EXPECT_EQ(read("[trainer]\nbatch = 32\n", {"--short.b=64"}).get<TrainerDeck>().batch, 64);
}

TEST(DeckAlias, BothNamesAreARepeatedKey) {
  EXPECT_EQ(problems_of("[trainer]\nbatch = 32\n[short]\nb = 16\n"),
            Lines{"deck.ini:4: repeated key 'short.b' (first at deck.ini:2) keep one of them"});
  EXPECT_EQ(problems_of("", {"--short.b=1", "--trainer.batch=1"}).size(), 1U);
}

TEST(DeckAlias, TyposAndRangesAreAnswered) {
  EXPECT_EQ(problems_of("[short]\nrat = 1\n"),
            Lines{"deck.ini:2: unknown key 'short.rat'; did you mean 'short.rate'?"});
  ASSERT_EQ(problems_of("[short]\nrate = 11\n").size(), 1U);
  EXPECT_NE(problems_of("[short]\nrate = 11\n").front().find("trainer.learning_rate"), std::string::npos);
}

TEST(DeckAlias, HelpAndPageSayWhatTheyStandFor) {
  EXPECT_NE(Deck::help(with_aliases()).find("b = same as trainer.batch"), std::string::npos);
  EXPECT_NE(Deck::markdown(with_aliases()).find("| `b` | `trainer.batch` |"), std::string::npos);
  EXPECT_THROW(Deck(schema().alias("short", "", {{"x", "trainer.none"}}), "", "deck.ini", {}), std::logic_error);
}

}  // namespace
}  // namespace tightrope
