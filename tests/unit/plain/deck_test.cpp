#include "tightrope/core/deck.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <sstream>

#include "deck_fixture.hpp"

namespace tightrope {
namespace {

using namespace deck_fixture;

TEST(Deck, AnEmptyDeckIsAllDefaults) {
  const Deck d = deck("");
  EXPECT_EQ(d.get<TrainerDeck>().learning_rate, 1e-3);
  EXPECT_EQ(d.get<TrainerDeck>().mode, "async");
  EXPECT_EQ(d.get<ReplayDeck>().bytes, 64 << 20);
  EXPECT_EQ(d.get<ReplayDeck>().folder, "");
  EXPECT_EQ(d.origin("trainer.batch"), "default");
  EXPECT_FALSE(d.given("trainer.batch"));
}

TEST(Deck, CommandLineWinsOverFileAndFileOverDefault) {
  const Deck d = deck("[trainer]\nbatch = 32\nlearning_rate = 0.1\n", {"--trainer.batch=64"});
  EXPECT_EQ(d.get<TrainerDeck>().batch, 64);
  EXPECT_EQ(d.get<TrainerDeck>().learning_rate, 0.1);
  EXPECT_EQ(d.get<TrainerDeck>().interval, 30);
  EXPECT_EQ(d.origin("trainer.batch"), "command line");
  EXPECT_EQ(d.origin("trainer.learning_rate"), "deck.ini:3");
  EXPECT_EQ(d.origin("trainer.interval"), "default");
  EXPECT_TRUE(d.given("trainer.batch"));
  EXPECT_TRUE(d.given("trainer.learning_rate"));
}

TEST(Deck, CommentsBlanksLineEndsAndReopenedSectionsAreFine) {
  const Deck d = deck(
      "\xEF\xBB\xBF# a comment\r\n"
      "  [ trainer ]  # another\r\n"
      "\r\n"
      "\tbatch=7 # = 8\r\n"
      "[replay]\n"
      "folder = /tmp/run#3 and = more   # note\n"
      "[trainer]\n"
      "mode =  lockstep");
  EXPECT_EQ(d.get<TrainerDeck>().batch, 7);
  EXPECT_EQ(d.get<TrainerDeck>().mode, "lockstep");
  EXPECT_EQ(d.get<ReplayDeck>().folder, "/tmp/run#3 and = more");
  EXPECT_EQ(d.origin("trainer.mode"), "deck.ini:8");
}

TEST(Deck, CountsAreWholeAndExact) {
  EXPECT_EQ(trainer("batch = 1e6").batch, 1000000);
  EXPECT_EQ(trainer("batch = 1.5e3").batch, 1500);
  EXPECT_EQ(trainer("batch = +12").batch, 12);
  EXPECT_EQ(replay("seed = -3").seed, -3);
  EXPECT_EQ(replay("seed = 9223372036854775807").seed, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(replay("seed = 9007199254740993").seed, 9007199254740993);
  const std::string otherwise = " is not a count (a count is a whole number) write it like 64 or 1e6";
  for (const std::string bad :
       {"1.5", "abc", "1e-3", "16x", "0x10", "1 6", "--4", "+", "e6", "nan", "9007199254740992.5"}) {
    EXPECT_EQ(problems("[replay]\nseed = " + bad), Lines{"deck.ini:2: replay.seed = " + bad + otherwise});
  }
  const std::string too_large = " does not fit (it is beyond what 64 bits hold) give another";
  for (const std::string bad : {"1e19", "-1e30", "inf", "9223372036854775808"}) {
    EXPECT_EQ(problems("[replay]\nseed = " + bad), Lines{"deck.ini:2: replay.seed = " + bad + too_large});
  }
}

TEST(Deck, RealsRefuseWhatIsNoNumber) {
  EXPECT_EQ(replay("weight = -1.25e-3").weight, -1.25e-3);
  EXPECT_EQ(replay("weight = inf").weight, std::numeric_limits<double>::infinity());  // in its range
  EXPECT_FALSE(std::signbit(replay("weight = -0").weight));
  const std::string otherwise = " is not a number (a real is wanted) write it like 0.01 or 1e-3";
  for (const std::string bad : {"nan", "-nan", "0.1.2", "1,5", "x"}) {
    EXPECT_EQ(problems("[replay]\nweight = " + bad), Lines{"deck.ini:2: replay.weight = " + bad + otherwise});
  }
  EXPECT_EQ(problems("[replay]\nweight = 1e999"),
            Lines{"deck.ini:2: replay.weight = 1e999 does not fit (it is beyond what 64 bits hold) give another"});
  EXPECT_EQ(problems("[trainer]\nlearning_rate = inf"),
            Lines{"deck.ini:2: trainer.learning_rate = inf is out of range (0 .. 10 per step) give a value inside it"});
}

TEST(Deck, SizesHaveBinaryUnits) {
  EXPECT_EQ(replay("bytes = 5000").bytes, 5000);
  EXPECT_EQ(replay("bytes = 5000B").bytes, 5000);
  EXPECT_EQ(replay("bytes = 4KiB").bytes, 4096);
  EXPECT_EQ(replay("bytes = 512 MiB").bytes, 512ll << 20);
  EXPECT_EQ(replay("bytes = 1.5GiB").bytes, 3ll << 29);
  EXPECT_EQ(replay("bytes = 1TiB").bytes, 1ll << 40);
  const std::string otherwise = " is not a size (whole bytes; units B, KiB, MiB, GiB, TiB) write it like 512MiB";
  for (const std::string bad : {"512MB", "5000.5", "4K", "KiB", "4KiBs", "nan"}) {
    EXPECT_EQ(problems("[replay]\nbytes = " + bad), Lines{"deck.ini:2: replay.bytes = " + bad + otherwise});
  }
  EXPECT_EQ(problems("[replay]\nbytes = 9999999TiB"),
            Lines{"deck.ini:2: replay.bytes = 9999999TiB does not fit (it is beyond what 64 bits hold) give another"});
}

TEST(Deck, TimesAddUp) {
  EXPECT_EQ(trainer("interval = 12.5").interval, 12.5);
  EXPECT_EQ(trainer("interval = 90s").interval, 90);
  EXPECT_EQ(trainer("interval = 3h50m").interval, 13800);
  EXPECT_EQ(trainer("interval = 1d 2h 3m 4s").interval, 93784);
  EXPECT_EQ(trainer("interval = 250ms").interval, 0.25);
  EXPECT_EQ(trainer("interval = 1 s 30000 us").interval, 1.03);
  const std::string otherwise =
      " is not a time (units d, h, m, s, ms, us, each once, longest first) write it like 90s or 3h50m";
  for (const std::string bad : {"90sec", "s", "3h50", "50m3h", "1m1m", "1h-5m", "3:50", "nan"}) {
    EXPECT_EQ(problems("[trainer]\ninterval = " + bad), Lines{"deck.ini:2: trainer.interval = " + bad + otherwise});
  }
}

TEST(Deck, FlagsChoicesAndTexts) {
  for (const std::string yes : {"yes", "true", "on", "1"}) EXPECT_TRUE(replay("keep = " + yes).keep);
  for (const std::string no : {"no", "false", "off", "0"}) EXPECT_FALSE(replay("keep = " + no).keep);
  EXPECT_EQ(
      problems("[replay]\nkeep = maybe"),
      Lines{"deck.ini:2: replay.keep = maybe is neither yes nor no (also true, false, on, off, 1, 0) write one of "
            "them"});
  EXPECT_EQ(problems("[trainer]\nmode = asinc"),
            Lines{"deck.ini:2: trainer.mode = asinc is not a choice (async, lockstep); did you mean 'async'?"});
  EXPECT_EQ(problems("[trainer]\nmode = sometimes"),
            Lines{"deck.ini:2: trainer.mode = sometimes is not a choice (async, lockstep) take one"});
  EXPECT_EQ(replay("folder =").folder, "");
  EXPECT_EQ(problems("[replay]\nfolder =#3"),
            Lines{"deck.ini:2: replay.folder = #3 cannot stand in a deck (a comment would begin at its '#') choose "
                  "another text"});
  EXPECT_EQ(problems("", {"--replay.folder=a\n[trainer]"}),
            Lines{"--replay.folder: replay.folder = a?[trainer] cannot stand in a deck (it holds a control character) "
                  "remove it"});
}

TEST(Deck, ValuesHaveRanges) {
  EXPECT_EQ(problems("[trainer]\nbatch = 0"),
            Lines{"deck.ini:2: trainer.batch = 0 is out of range (1 .. 1e9 trajectories) give a value inside it"});
  EXPECT_EQ(
      problems("[trainer]\nlearning_rate = -1e-9"),
      Lines{"deck.ini:2: trainer.learning_rate = -1e-9 is out of range (0 .. 10 per step) give a value inside it"});
  EXPECT_EQ(problems("[replay]\nbytes = 1"),
            Lines{"deck.ini:2: replay.bytes = 1 is out of range (4KiB .. 1TiB) give a value inside it"});
  EXPECT_EQ(problems("[trainer]\ninterval = 1us"),
            Lines{"deck.ini:2: trainer.interval = 1us is out of range (0.01s .. 1e6s) give a value inside it"});
}

TEST(Deck, PrintsWhatItResolvedWithOrigins) {
  const Deck d = deck("[trainer]\nbatch = 1e2\n", {"--replay.bytes=3MiB", "--trainer.interval=1m30s"});
  EXPECT_EQ(d.resolved(),
            "[trainer]\nlearning_rate = 0.001\nbatch = 100\ninterval = 90s\nmode = async\n"
            "[replay]\nbytes = 3MiB\nseed = 0\nweight = 0.5\nkeep = yes\nfolder =\n");
  const std::string printed = d.print();
  for (const std::string part :
       {"# how the policy is updated\n[trainer]\n", "  # default (per step)\n", "  # deck.ini:2 (trajectories)\n",
        "bytes = 3MiB", "  # command line\n", "folder = "}) {
    EXPECT_NE(printed.find(part), std::string::npos) << part << "\n" << printed;
  }
}

TEST(Deck, PrintingAndReadingAgainChangesNothing) {
  const Lines overrides{"--trainer.learning_rate=0.30000000000000004",
                        "--trainer.interval=16.666666666666668",
                        "--replay.bytes=5000000001",
                        "--replay.seed=-9007199254740993",
                        "--replay.weight=-inf",
                        "--replay.keep=off",
                        "--replay.folder=run #3 = a\tb, \xC3\xA9"};
  EXPECT_EQ(problems("", overrides).size(), 1u);  // " #" would begin a comment
  Lines good = overrides;
  good.back() = "--replay.folder=run#3 = a\tb, \xC3\xA9";
  const Deck first = deck("", good);
  const Deck from_print = deck(first.print()), from_resolved = deck(first.resolved());
  EXPECT_EQ(from_print.resolved(), first.resolved());
  EXPECT_EQ(from_resolved.resolved(), first.resolved());
  EXPECT_EQ(from_resolved.hash(), first.hash());
  EXPECT_EQ(deck(from_print.print()).print(), deck(from_print.print()).print());
  EXPECT_EQ(from_print.get<TrainerDeck>().learning_rate, 0.30000000000000004);
  EXPECT_EQ(from_print.get<ReplayDeck>().seed, -9007199254740993);
  EXPECT_EQ(from_print.get<ReplayDeck>().folder, "run#3 = a\tb, \xC3\xA9");
}

TEST(Deck, EveryDoubleSurvivesARoundTrip) {
  std::mt19937_64 bits(3);
  for (int i = 0; i < 500; ++i) {
    const double value = std::bit_cast<double>(bits());
    if (!std::isnormal(value)) continue;
    std::ostringstream text;
    text.precision(17);
    text << value;
    const Deck d = deck("[replay]\nweight = " + text.str());
    ASSERT_EQ(d.get<ReplayDeck>().weight, value);
    ASSERT_EQ(deck(d.resolved()).get<ReplayDeck>().weight, value) << d.resolved();
  }
}

TEST(Deck, TheHashTellsEveryValueAndNoNotation) {
  const Lines changes{"--trainer.learning_rate=0.002", "--trainer.batch=17",  "--trainer.interval=31",
                      "--trainer.mode=lockstep",       "--replay.bytes=1MiB", "--replay.seed=1",
                      "--replay.weight=0.25",          "--replay.keep=no",    "--replay.folder=x"};
  std::set<uint64_t> hashes{deck("").hash()};
  for (const auto& change : changes) hashes.insert(deck("", {change}).hash());
  EXPECT_EQ(hashes.size(), changes.size() + 1);
  EXPECT_EQ(deck("[trainer]\nbatch = 1e3\ninterval = 1m").hash(),
            deck("", {"--trainer.batch=1000", "--trainer.interval=60"}).hash());
}

TEST(Deck, CopiesOutliveTheOriginal) {
  auto original = std::make_unique<Deck>(deck("[trainer]\nbatch = 5\n"));
  const Deck copy = *original;
  const std::string text = original->resolved();
  original.reset();
  EXPECT_EQ(copy.get<TrainerDeck>().batch, 5);
  EXPECT_EQ(copy.resolved(), text);
}

TEST(Deck, HelpAndMarkdownListEveryKey) {
  const std::string help = Deck::help(schema()), markdown = Deck::markdown(schema());
  for (const std::string part :
       {"[trainer] how the policy is updated:\n", "--trainer.batch count (=16)", "[1 .. 1e9 trajectories]",
        "--replay.bytes size (=64MiB)", "[4KiB .. 1TiB]", "--trainer.mode choice (=async)", "[async, lockstep]"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << "\n" << help;
  }
  for (const std::string part :
       {"## [trainer]\n\nhow the policy is updated\n",
        "| `batch` | `16` | trajectories | 1 .. 1e9 | trajectories per update, over all trainers |\n",
        "| `interval` | `30s` | seconds | 0.01s .. 1e6s |", "| keep records \\| drop them |",
        "| `folder` |  | text |  | where to write |"}) {
    EXPECT_NE(markdown.find(part), std::string::npos) << part << "\n" << markdown;
  }
}

}  // namespace
}  // namespace tightrope
