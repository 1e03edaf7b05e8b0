// What is drawn: recent records, the law within a query.  Statistical bounds are 4 to 5 standard
// deviations at fixed seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "tightrope/learn/replay_index.hpp"

namespace tightrope {
namespace {

IndexEntry record(int64_t query, int64_t id, int64_t version, double log_reward = 0) {
  IndexEntry entry;
  entry.query = query;
  entry.id = id;
  entry.version = version;
  entry.log_reward = log_reward;
  return entry;
}

std::map<int64_t, int> tally(const std::vector<IndexEntry>& drawn) {
  std::map<int64_t, int> times;
  for (const IndexEntry& entry : drawn) ++times[entry.id];
  return times;
}

// Sum of (observed - expected)^2 / expected, minus its mean, in standard deviations.
double surprise(const std::vector<double>& observed, const std::vector<double>& expected) {
  double chi2 = 0;
  for (size_t i = 0; i < observed.size(); ++i) chi2 += std::pow(observed[i] - expected[i], 2) / expected[i];
  const double freedom = static_cast<double>(observed.size()) - 1;
  return (chi2 - freedom) / std::sqrt(2 * freedom);
}

TEST(ReplayDraw, AFreshBatchIsDrawnAsItself) {
  ReplayDeck deck;
  deck.recent_window = 0;
  for (const int64_t k : {1, 4, 16}) {
    ReplayIndex index(deck, 1000);
    for (int64_t i = 0; i < 320; ++i) {
      index.insert(record(0, i, i / 16));
      if (i % 16 != 15) continue;
      const auto times = tally(index.draw(16 / k, k, 3));
      ASSERT_EQ(times.size(), 16U);
      ASSERT_EQ(times.begin()->first, i - 15);
      ASSERT_EQ(times.rbegin()->first, i);
    }
    EXPECT_EQ(index.drawn(), 320);
  }
}

TEST(ReplayDraw, GroupsOfOneDrawShareRecordsOnlyWhenAllHaveBeenDrawn) {
  for (const char* within : {"uniform", "softmax"}) {
    ReplayDeck deck;
    deck.within = within;
    ReplayIndex index(deck, 100);
    for (int64_t i = 0; i < 20; ++i) index.insert(record(0, i, 0, 3.0 * static_cast<double>(i)));
    for (int repeat = 0; repeat < 50; ++repeat) {
      const auto drawn = index.draw(7, 8, 5);  // 56 = 2 * 20 + 16
      const auto times = tally(drawn);
      EXPECT_EQ(times.size(), 20U);
      for (const auto& [id, n] : times) EXPECT_TRUE(n == 2 || n == 3) << id << " " << n;
      for (auto group = drawn.begin(); group != drawn.end(); group += 8) {
        EXPECT_EQ(tally({group, group + 8}).size(), 8U);
      }
    }
  }
}

TEST(ReplayDraw, AFewRecentRecordsComeRoundWithoutRepeatingOldOnes) {
  ReplayDeck deck;
  deck.recent_fraction = 0.5;
  deck.recent_window = 0;
  ReplayIndex index(deck, 100);
  for (int64_t i = 0; i < 36; ++i) index.insert(record(0, i, i < 32 ? 0 : 1));
  for (int n = 0; n < 200; ++n) {
    for (const auto& [id, times] : tally(index.draw(24, 1, 3))) {
      EXPECT_TRUE(times == 1 || id >= 32) << id;
    }
  }
}

TEST(ReplayDraw, ReplacesOnlyWhereThereAreFewerThanK) {
  ReplayIndex index(ReplayDeck{}, 10);
  for (int64_t i = 0; i < 3; ++i) index.insert(record(0, i, 0));
  std::vector<double> counts(3);
  bool repeated = false;
  for (int n = 0; n < 2000; ++n) {
    const auto drawn = index.draw(1, 4, 9);
    ASSERT_EQ(drawn.size(), 4U);
    repeated = repeated || tally(drawn).size() < 3;  // independent draws: not all three every time
    for (const IndexEntry& entry : drawn) ++counts[entry.id];
    ASSERT_EQ(tally(index.draw(1, 3, 9)).size(), 3U);
  }
  EXPECT_TRUE(repeated);
  EXPECT_LT(surprise(counts, {8000 / 3., 8000 / 3., 8000 / 3.}), 5);
}

TEST(ReplayDraw, RecentWithProbabilityM) {
  constexpr int draws = 100000;
  for (const double m : {0.3, 0.95}) {
    ReplayDeck deck;
    deck.recent_fraction = m;
    deck.recent_window = 2;
    ReplayIndex index(deck, 100);
    for (int64_t i = 0; i < 40; ++i) index.insert(record(0, i, i / 4));  // versions 0 .. 9; recent: 7, 8, 9
    double old = 0;
    for (int n = 0; n < draws; ++n) old += index.draw(1, 1, 6)[0].version < 7 ? 1 : 0;
    const double p = (1 - m) * 28 / 40;
    EXPECT_LT(std::abs(old / draws - p), 4 * std::sqrt(p * (1 - p) / draws)) << m;
  }
}

TEST(ReplayDraw, RecentGroupsComeFromQueriesThatHaveRecentRecords) {
  ReplayDeck deck;
  deck.recent_window = 0;
  ReplayIndex index(deck, 1000);
  for (int64_t q = 0; q < 50; ++q) index.insert(record(q, q, 0));
  for (int64_t q = 10; q < 14; ++q) index.insert(record(q, 100 + q, 1));
  for (int n = 0; n < 10; ++n) {
    EXPECT_EQ(tally(index.draw(4, 1, 1)), (std::map<int64_t, int>{{110, 1}, {111, 1}, {112, 1}, {113, 1}}));
  }
}

TEST(ReplayDraw, WithoutRecentRecordsAllAreDrawn) {
  ReplayDeck deck;
  deck.keep = "highest_reward";
  deck.recent_window = 1;
  ReplayIndex index(deck, 5);
  for (int64_t i = 0; i < 5; ++i) index.insert(record(0, i, i, 1));
  EXPECT_FALSE(index.insert(record(0, 9, 10, 0)));  // the newest version seen was refused
  EXPECT_EQ(tally(index.draw(1, 5, 1)).size(), 5U);
}

// Searchers synchronise every k updates: what they made with the weights of one synchronisation arrives at the next.
TEST(ReplayDraw, RecentStalenessLiesBetweenKAndTwoK) {
  constexpr int64_t k = 10;
  ReplayDeck deck;
  deck.recent_window = 0;
  deck.capacity_per_query = 20;
  ReplayIndex index(deck, 2000);
  double sum = 0;
  for (int64_t update = k; update < 100 * k; ++update) {
    const int64_t period = update / k;
    for (int64_t i = 0; update % k == 0 && i < 40; ++i) {
      index.insert(record((period * 5 + i % 5) % 50, update * 100 + i, (period - 1) * k));
    }
    index.set_step(update);
    for (const IndexEntry& entry : index.draw(3, 4, 8)) {
      ASSERT_GE(update - entry.version, k);
      ASSERT_LE(update - entry.version, 2 * k - 1);
      sum += static_cast<double>(update - entry.version);
    }
  }
  EXPECT_DOUBLE_EQ(sum / (99 * k * 12), 14.5);
}

TEST(ReplayDraw, WithinAQueryBySoftmaxOrUniformly) {
  constexpr int draws = 100000;
  const double z = std::exp(2) + std::exp(1) + 1;
  for (const bool softmax : {true, false}) {
    ReplayDeck deck;
    deck.within = softmax ? "softmax" : "uniform";
    ReplayIndex index(deck, 10);
    for (int64_t i = 0; i < 3; ++i) index.insert(record(0, i, 0, 2. - static_cast<double>(i)));
    std::vector<double> counts(3), expected(3, draws / 3.);
    for (int64_t i = 0; softmax && i < 3; ++i) expected[i] = draws * std::exp(2 - i) / z;
    for (int n = 0; n < draws; ++n) ++counts[index.draw(1, 1, 6)[0].id];
    EXPECT_LT(surprise(counts, expected), 5);
  }
}

TEST(ReplayDraw, WithoutReplacementIsOneAfterTheOtherFromWhatIsLeft) {
  constexpr int draws = 60000, n = 4;
  ReplayDeck deck;
  deck.within = "softmax";
  deck.inverse_temperature = 0.7;
  ReplayIndex index(deck, 10);
  std::vector<double> p(n);
  for (int64_t i = 0; i < n; ++i) p[i] = std::exp(0.7 * 1.5 * static_cast<double>(i));
  const double z = std::accumulate(p.begin(), p.end(), 0.);
  for (int64_t i = 0; i < n; ++i) index.insert(record(0, i, i, 1.5 * static_cast<double>(i)));
  std::vector<double> counts, expected;
  std::map<std::pair<int64_t, int64_t>, size_t> cell;
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = 0; b < n; ++b) {
      if (a == b) continue;
      cell[{a, b}] = expected.size();
      expected.push_back(draws * p[a] / z * p[b] / (z - p[a]));
    }
  }
  counts.resize(expected.size());
  for (int i = 0; i < draws; ++i) {
    const auto drawn = index.draw(1, 2, 2);
    ++counts[cell.at({drawn[0].id, drawn[1].id})];
  }
  EXPECT_LT(surprise(counts, expected), 5);
}

TEST(ReplayDraw, UniformOverManyRecordsAndAnyWindow) {
  ReplayDeck deck;
  deck.recent_window = 249;
  ReplayIndex index(deck, 4000);
  for (int64_t i = 0; i < 1000; ++i) index.insert(record(0, i, i * 7919 % 1000));  // versions in no order
  std::vector<double> counts(250);
  for (int n = 0; n < 1000; ++n) {
    for (const IndexEntry& entry : index.draw(1, 50, 12)) ++counts.at(entry.version - 750);
  }
  EXPECT_LT(surprise(counts, std::vector<double>(250, 200)), 5);
}

TEST(ReplayDraw, RewardsFarApartKeepTheirOrder) {
  ReplayDeck deck;
  deck.within = "softmax";
  ReplayIndex index(deck, 10);
  index.insert(record(0, 3, 0, -std::numeric_limits<double>::infinity()));
  index.insert(record(0, 1, 0, -5000));
  index.insert(record(0, 0, 0, 1e6));
  index.insert(record(0, 2, 0, -1e9));
  for (int n = 0; n < 100; ++n) {
    const auto drawn = index.draw(1, 4, 1);
    for (int64_t i = 0; i < 4; ++i) ASSERT_EQ(drawn[i].id, i);
  }
}

TEST(ReplayDraw, NeverMoreStaleThanAllowed) {
  ReplayDeck deck;
  deck.recent_fraction = 0.5;
  deck.recent_window = 8;
  deck.maximum_staleness = 5;
  ReplayIndex index(deck, 100);
  for (int64_t i = 0; i < 40; ++i) index.insert(record(i % 4, i, i / 4));  // versions 0 .. 9 of each query
  index.insert(record(9, 99, 6));
  index.set_step(12);
  std::set<int64_t> versions;
  for (int n = 0; n < 200; ++n) {
    for (const IndexEntry& entry : index.draw(2, 2, 7)) {
      versions.insert(entry.version);
      EXPECT_NE(entry.query, 9);
    }
  }
  EXPECT_EQ(versions, (std::set<int64_t>{7, 8, 9}));
}

TEST(ReplayDraw, IsAFunctionOfSeedAndDrawCounter) {
  const auto run = [](uint64_t seed) {
    ReplayIndex index(ReplayDeck{}, 100);
    for (int64_t i = 0; i < 100; ++i) index.insert(record(i % 10, i, 0));
    std::vector<int64_t> drawn;
    for (int n = 0; n < 5; ++n) {
      for (const IndexEntry& entry : index.draw(3, 2, seed)) drawn.push_back(entry.id);
    }
    return drawn;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(ReplayDraw, CountsUses) {
  ReplayIndex index(ReplayDeck{}, 4);
  index.insert(record(0, 1, 0));
  EXPECT_EQ(index.draw(1, 1, 1)[0].uses, 1);
  EXPECT_EQ(index.draw(1, 2, 1)[1].uses, 3);
  EXPECT_EQ(index.at(0).uses, 3);
  EXPECT_EQ(index.drawn(), 3);
}

}  // namespace
}  // namespace tightrope
