// What a wrong deck says, word for word, and that no deck says nothing.
#include <gtest/gtest.h>

#include <random>

#include "deck_fixture.hpp"

namespace tightrope {
namespace {

using namespace deck_fixture;

TEST(Deck, UnknownKeysAndSectionsAreNamedWithTheNearest) {
  EXPECT_EQ(problems("[trainer]\nlearning_rat = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.learning_rat'; did you mean 'trainer.learning_rate'?"});
  EXPECT_EQ(problems("[trainer]\nbtach = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.btach'; did you mean 'trainer.batch'?"});
  EXPECT_EQ(problems("[trainer]\nseed = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.seed'; did you mean 'replay.seed'?"});
  EXPECT_EQ(problems("[trainer]\ntrainer.batch = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.trainer.batch'; did you mean 'trainer.batch'?"});
  EXPECT_EQ(problems("[trainer]\nlearn = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.learn' (abbreviations are refused); did you mean "
                  "'trainer.learning_rate'?"});
  EXPECT_EQ(problems("[trainer]\nzzz = 1"),
            Lines{"deck.ini:2: unknown key 'trainer.zzz' (no key is near it) see --help for all keys"});
  EXPECT_EQ(problems("[trianer]\nbatch = 1\nzzz = 2"),
            Lines{"deck.ini:1: unknown section 'trianer'; did you mean 'trainer'?"});
  EXPECT_EQ(problems("[output]"),
            Lines{"deck.ini:1: unknown section 'output' (no section is near it) see --help for all sections"});
}

TEST(Deck, BrokenLinesAreNamed) {
  EXPECT_EQ(problems("batch = 1"),
            Lines{"deck.ini:1: key 'batch' is outside a section (every key belongs to one) put it under [trainer]"});
  EXPECT_EQ(problems("zzz = 1"),
            Lines{"deck.ini:1: key 'zzz' is outside a section (every key belongs to one) put it under its [section]"});
  EXPECT_EQ(problems("[trainer]\nbatch 3"),
            Lines{"deck.ini:2: 'batch 3' is not an assignment (the line has no '=') write key = value"});
  EXPECT_EQ(problems("[trainer]\n = 3"), Lines{"deck.ini:2: '= 3' has no key (nothing before '=') write key = value"});
  EXPECT_EQ(problems("[trainer\nbatch = 3"),
            Lines{"deck.ini:1: '[trainer' is not a section (no ']' at its end) write [section]"});
  EXPECT_EQ(problems("[trainer]\nbatch = 3\n\nbatch = 4"),
            Lines{"deck.ini:4: repeated key 'trainer.batch' (first at deck.ini:2) keep one of them"});
  EXPECT_EQ(problems("[trainer]\nbatch = # three"),
            Lines{"deck.ini:2: trainer.batch has no value (only a text may be empty) give one or leave the key out"});
  EXPECT_EQ(problems(std::string("[trainer]\n\0", 11)),
            Lines{"deck.ini: not a text file (it holds a zero byte) give a deck in INI form"});
}

TEST(Deck, BadOverridesNameTheFlag) {
  EXPECT_EQ(problems("", {"--trainer.btach=3"}),
            Lines{"--trainer.btach: unknown key 'trainer.btach'; did you mean 'trainer.batch'?"});
  EXPECT_EQ(problems("", {"--trainer.l=3"}),
            Lines{"--trainer.l: unknown key 'trainer.l' (abbreviations are refused); did you mean "
                  "'trainer.learning_rate'?"});
  EXPECT_EQ(problems("", {"--batch=3"}), Lines{"--batch: unknown key 'batch'; did you mean 'trainer.batch'?"});
  EXPECT_EQ(problems("", {"--trainer.batch=3", "--trainer.batch=4"}),
            Lines{"--trainer.batch: repeated key 'trainer.batch' (first as --trainer.batch=3) keep one of them"});
  EXPECT_EQ(problems("", {"--trainer.batch"}),
            Lines{"--trainer.batch: no value was given (overrides are --section.key=value) write "
                  "--trainer.batch=value"});
  EXPECT_EQ(problems("", {"trainer.batch=3"}),
            Lines{"'trainer.batch=3': not an override (overrides begin with two dashes) write --section.key=value"});
  EXPECT_EQ(problems("", {"--trainer.batch=0"}),
            Lines{"--trainer.batch: trainer.batch = 0 is out of range (1 .. 1e9 trajectories) give a value inside it"});
  EXPECT_EQ(problems("", {"--trainer.batch="}),
            Lines{"--trainer.batch: trainer.batch has no value (only a text may be empty) give one or leave the key "
                  "out"});
}

TEST(Deck, AllProblemsComeTogetherInOrder) {
  const std::string text = "[trainer]\nbatch = 0\nlearning_rat = 1\n[nowhere]\nx\n[replay]\nbytes = 8K\n";
  const Lines expected{
      "deck.ini:2: trainer.batch = 0 is out of range (1 .. 1e9 trajectories) give a value inside it",
      "deck.ini:3: unknown key 'trainer.learning_rat'; did you mean 'trainer.learning_rate'?",
      "deck.ini:4: unknown section 'nowhere' (no section is near it) see --help for all sections",
      "deck.ini:5: 'x' is not an assignment (the line has no '=') write key = value",
      "deck.ini:7: replay.bytes = 8K is not a size (whole bytes; units B, KiB, MiB, GiB, TiB) write it like 512MiB",
      "--trainer.mode: trainer.mode = x is not a choice (async, lockstep) take one"};
  EXPECT_EQ(problems(text, {"--trainer.mode=x", "--replay.seed=1"}), expected);
  try {
    deck(text);
    FAIL();
  } catch (const DeckError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(expected[0] + "\n" + expected[1] + "\n"));
  }
}

struct UnlistedDeck {};

struct TwiceDeck {
  static constexpr const char* section = "twice";
  int64_t key = 0;
  void fields(FieldList& f) {
    f.count("key", key, {}, "", "");
    f.count("key", key, {}, "", "");
  }
};

struct ShyDeck {
  static constexpr const char* section = "shy";
  int64_t key = 0;
  void fields(FieldList& f) { f.count("key", key, {1, 5}, "steps", ""); }
};

template <class S>
std::string schema_fault() {
  try {
    Deck(Schema().add<S>(""), "", "deck.ini", {});
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

TEST(Deck, ABrokenSchemaIsAMistakeInTheProgram) {
  EXPECT_EQ(schema_fault<TwiceDeck>(),
            "deck schema: key 'twice.key' is listed twice (a mistake in the program) please report it");
  EXPECT_EQ(schema_fault<ShyDeck>(),
            "deck schema: the default of shy.key = 0 is out of range (1 .. 5 steps) give a value inside it (a mistake "
            "in the program) please report it");
  EXPECT_THROW(deck("").get<UnlistedDeck>(), std::logic_error);
  EXPECT_THROW(deck("").origin("trainer.nothing"), std::logic_error);
}

TEST(Nearest, CountsSlipsOfTheKeyboard) {
  const Lines names{"async", "lockstep", "replay.bytes"};
  EXPECT_EQ(nearest("asnyc", names), "async");         // swapped
  EXPECT_EQ(nearest("locksteps", names), "lockstep");  // one too many
  EXPECT_EQ(nearest("replay.byts", names), "replay.bytes");
  EXPECT_EQ(nearest("replays.bytes", names), "replay.bytes");
  EXPECT_EQ(nearest("replay.rate", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest(std::string(100000, 'a'), names), "");
}

// Whatever the bytes are, the only way out is a deck or a DeckError whose every problem is one line.
void survives(const std::string& text, const Lines& overrides) {
  try {
    const Deck read = deck(text, overrides);
    ASSERT_EQ(deck(read.print()).resolved(), read.resolved()) << read.print();
  } catch (const DeckError& error) {
    ASSERT_FALSE(error.problems().empty());
    for (const auto& problem : error.problems()) ASSERT_EQ(problem.find_first_of("\n\r"), std::string::npos) << problem;
  }
}

TEST(DeckFuzz, RandomBytesAndMutatedDecksNeverCrash) {
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  const std::string seed = deck("", {"--replay.folder=a b"}).print() + "seed = 1e400\ninterval = 3h50m2s\n";
  const std::string spice = "[]=#.+-eE019 \t\r\nKiBMshminfa\"\\";
  for (int i = 0; i < 250; ++i) {
    std::string text(below(200), ' ');
    for (auto& c : text) c = static_cast<char>(below(256));
    survives(text, {text});
    std::string mutant = seed;
    for (size_t edits = 1 + below(6); edits > 0; --edits) {
      const size_t at = below(mutant.size());
      switch (below(3)) {
        case 0:
          mutant[at] = spice[below(spice.size())];
          break;
        case 1:
          mutant.erase(at, 1 + below(8));
          break;
        default:
          mutant.insert(at, 1 + below(3), spice[below(spice.size())]);
      }
    }
    survives(mutant, {"--" + mutant.substr(below(mutant.size()), 30)});
    std::string value(1 + below(6), ' ');
    for (auto& c : value) c = spice[below(spice.size())];
    for (const std::string key :
         {"trainer.interval", "replay.bytes", "replay.seed", "replay.weight", "replay.folder"}) {
      survives("", {"--" + key + "=" + value});
    }
  }
}

}  // namespace
}  // namespace tightrope
