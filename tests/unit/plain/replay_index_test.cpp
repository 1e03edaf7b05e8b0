// What is kept, how fast it may be drawn, and what a restart needs.  What is drawn: replay_draw_test.cpp.
#include "tightrope/learn/replay_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using Limit = ReplayIndex::Limit;

IndexEntry record(int64_t query, int64_t id, int64_t version, double log_reward = 0, uint64_t content = 0) {
  IndexEntry entry;
  entry.query = query;
  entry.id = id;
  entry.version = version;
  entry.log_reward = log_reward;
  entry.content = content;
  return entry;
}

std::vector<int64_t> ids(const ReplayIndex& index) {
  std::vector<int64_t> found;
  for (const IndexEntry& entry : index.snapshot().entries) found.push_back(entry.id);
  std::sort(found.begin(), found.end());
  return found;
}

using Ids = std::vector<int64_t>;

TEST(ReplayIndexKeep, TheSmallerOfSlotsAndCapacityCounts) {
  ReplayDeck deck;
  EXPECT_EQ(ReplayIndex(deck, 7).capacity(), 7);
  deck.capacity = 5;
  EXPECT_EQ(ReplayIndex(deck, 7).capacity(), 5);
  EXPECT_EQ(ReplayIndex(deck, 4).capacity(), 4);
  EXPECT_THROW(ReplayIndex(deck, 0), Failure);
}

TEST(ReplayIndexKeep, NewestEvictsTheOldestVersionThenTheOldestTicket) {
  ReplayIndex index(ReplayDeck{}, 3);
  EXPECT_EQ(index.insert(record(0, 1, 5)), 0);
  EXPECT_EQ(index.insert(record(0, 2, 4)), 1);  // oldest by version although not by arrival
  EXPECT_EQ(index.insert(record(0, 3, 5)), 2);
  EXPECT_EQ(index.insert(record(0, 4, 5)), 1);
  EXPECT_EQ(ids(index), (Ids{1, 3, 4}));
  EXPECT_EQ(index.insert(record(0, 5, 5)), 0);  // of equal versions the newcomer stays
  EXPECT_EQ(ids(index), (Ids{3, 4, 5}));
  EXPECT_EQ(index.insert(record(0, 6, 4)), std::nullopt);  // itself the oldest
  EXPECT_EQ(ids(index), (Ids{3, 4, 5}));
  EXPECT_EQ(index.inserted(), 5);
  EXPECT_EQ(index.evicted(), 2);
  EXPECT_EQ(index.refused(), 1);
  EXPECT_EQ(index.at(0).id, 5);
  EXPECT_EQ(index.at(0).ticket, 4U);
}

TEST(ReplayIndexKeep, OfOneHundredAndFiftyTheHundredNewestStay) {
  ReplayDeck deck;
  deck.capacity_per_query = 100;
  ReplayIndex index(deck, 1000);
  for (int64_t i = 0; i < 150; ++i) index.insert(record(3, i, i / 7));
  Ids expected(100);
  for (int64_t i = 0; i < 100; ++i) expected[i] = 50 + i;
  EXPECT_EQ(ids(index), expected);
}

TEST(ReplayIndexKeep, HighestRewardEvictsTheWorstAndRefusesWhatIsWorse) {
  ReplayDeck deck;
  deck.keep = "highest_reward";
  ReplayIndex index(deck, 3);
  index.insert(record(0, 1, 0, 2.0));
  index.insert(record(1, 2, 1, 1.0));
  index.insert(record(2, 3, 0, 1.0));
  EXPECT_EQ(index.insert(record(0, 4, 9, 0.5)), std::nullopt);
  EXPECT_EQ(index.insert(record(0, 5, 0, 1.5)), 2);  // 2 and 3 are equally bad, 3 is older
  EXPECT_EQ(index.insert(record(0, 6, 1, 1.0)), 1);  // as bad as 2, but newer
  EXPECT_EQ(ids(index), (Ids{1, 5, 6}));
  const double nothing = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(index.insert(record(0, 7, 9, nothing)), std::nullopt);
  EXPECT_THROW(index.insert(record(0, 8, 9, std::nan(""))), Failure);
}

TEST(ReplayIndexKeep, AQueryAtItsCapacityEvictsOnlyItsOwn) {
  ReplayDeck deck;
  deck.capacity_per_query = 2;
  ReplayIndex index(deck, 4);
  index.insert(record(7, 1, 0));
  index.insert(record(8, 2, 5));
  index.insert(record(8, 3, 6));
  EXPECT_EQ(index.insert(record(8, 4, 7)), 1);
  EXPECT_EQ(index.insert(record(8, 5, 5)), std::nullopt);
  EXPECT_EQ(ids(index), (Ids{1, 3, 4}));
  index.insert(record(9, 6, 1));
  EXPECT_EQ(index.insert(record(9, 7, 1)), 0);  // the store is full: its oldest goes, and with it query 7
  EXPECT_EQ(ids(index), (Ids{3, 4, 6, 7}));
}

TEST(ReplayIndexDeduplicate, TheNewestOfEqualsStaysInOneSlot) {
  ReplayDeck deck;
  deck.deduplicate = true;
  deck.recent_window = 0;
  ReplayIndex index(deck, 10);
  EXPECT_EQ(index.insert(record(0, 1, 3, 0, 11)), 0);
  EXPECT_EQ(index.insert(record(0, 2, 3, 0, 11)), 0);
  EXPECT_EQ(index.insert(record(0, 3, 3, 0, 12)), 1);
  EXPECT_EQ(index.insert(record(1, 4, 3, 0, 11)), 2);  // equal, but of another query
  EXPECT_EQ(index.size(), 3);
  EXPECT_EQ(index.at(0).id, 2);
  EXPECT_EQ(index.at(0).ticket, 1U);  // a new one: the store rewrites the slot
  EXPECT_EQ(index.insert(record(0, 5, 2, 0, 11)), std::nullopt);
  EXPECT_EQ(index.at(0).id, 2);
  EXPECT_EQ(index.insert(record(0, 6, 8, 4, 11)), 0);
  EXPECT_EQ(index.size(), 3);
  EXPECT_EQ(index.inserted(), 3);
  EXPECT_EQ(index.refused(), 3);
  for (const IndexEntry& entry : index.draw(1, 4, 1)) {  // the only recent record now
    EXPECT_EQ(entry.id, 6);
    EXPECT_EQ(entry.log_reward, 4);
  }
  EXPECT_EQ(index.insert(record(0, 7, 9, 0, 11)), 0);
  EXPECT_EQ(index.at(0).uses, 4);  // kept
}

TEST(ReplayIndexDeduplicate, AnEvictedTrajectoryMayComeBack) {
  ReplayDeck deck;
  deck.deduplicate = true;
  ReplayIndex index(deck, 2);
  for (const uint64_t content : {1, 2, 3, 1}) EXPECT_TRUE(index.insert(record(0, 0, 0, 0, content)));
  EXPECT_EQ(index.evicted(), 2);
  EXPECT_EQ(index.refused(), 0);
}

TEST(ReplayIndexLimit, MinimumCountsArrivals) {
  ReplayDeck deck;
  deck.minimum = 3;
  deck.deduplicate = true;
  ReplayIndex index(deck, 10);
  EXPECT_EQ(index.limit(1, 1), Limit::minimum);
  index.insert(record(0, 1, 0));
  index.insert(record(0, 2, 0));
  EXPECT_EQ(index.limit(1, 1), Limit::minimum);
  EXPECT_TRUE(index.room_to_insert());
  index.insert(record(0, 3, 0));
  EXPECT_EQ(index.size(), 1);
  EXPECT_EQ(index.limit(1, 1), Limit::none);
  EXPECT_EQ(ReplayIndex(ReplayDeck{}, 1).limit(1, 1), Limit::minimum);  // nothing there
}

TEST(ReplayIndexLimit, SamplesPerInsertHoldsBothSides) {
  ReplayDeck deck;
  deck.samples_per_insert = 2;
  ReplayIndex index(deck, 100);
  for (int i = 0; i < 3; ++i) index.insert(record(0, i, 0));
  EXPECT_EQ(index.limit(2, 4), Limit::samples_per_insert);  // 8 > 6
  EXPECT_TRUE(index.room_to_insert());
  index.insert(record(0, 3, 0));
  EXPECT_EQ(index.limit(2, 4), Limit::none);
  EXPECT_FALSE(index.room_to_insert());  // 8 ahead, a whole batch
  index.draw(2, 4, 1);
  EXPECT_EQ(index.limit(2, 4), Limit::samples_per_insert);
  EXPECT_TRUE(index.room_to_insert());
}

// Whatever the numbers, a searcher that waits for room and a trainer that waits for records never wait together.
TEST(ReplayIndexLimit, BackpressureNeverMeetsAHeldDraw) {
  for (const double ratio : {0.3, 1.0, 2.5, 100.0}) {
    for (const int64_t minimum : {0, 5, 400}) {
      for (const bool deduplicate : {false, true}) {
        ReplayDeck deck;
        deck.samples_per_insert = ratio;
        deck.minimum = minimum;
        deck.deduplicate = deduplicate;
        deck.maximum_staleness = 3;
        ReplayIndex index(deck, 20);
        int64_t updates = 0;
        for (int64_t i = 0; updates < 50; ++i) {
          ASSERT_LT(i, 100000);
          index.set_step(updates);
          const bool held = index.limit(2, 8) != Limit::none;
          ASSERT_TRUE(!held || index.room_to_insert()) << ratio << " " << minimum << " " << deduplicate;
          if (index.room_to_insert()) index.insert(record(0, i, updates, 0, i % 7));
          if (!held && ++updates) index.draw(2, 8, 1);
        }
      }
    }
  }
}

TEST(ReplayIndexLimit, TooStale) {
  ReplayDeck deck;
  deck.maximum_staleness = 5;
  deck.samples_per_insert = 1;
  ReplayIndex index(deck, 10);
  for (int i = 0; i < 8; ++i) index.insert(record(0, i, 10));
  index.set_step(15);
  EXPECT_EQ(index.limit(1, 2), Limit::none);
  EXPECT_FALSE(index.room_to_insert());
  index.set_step(16);
  EXPECT_EQ(index.limit(1, 2), Limit::too_stale);
  EXPECT_TRUE(index.room_to_insert());
  EXPECT_THROW(index.draw(1, 2, 1), Failure);
}

TEST(ReplayIndexRestore, RefusesWhatDoesNotFit) {
  ReplayIndex full(ReplayDeck{}, 4);
  for (int i = 0; i < 4; ++i) full.insert(record(i, i, 0));
  full.draw(2, 2, 1);
  const ReplayIndex::Snapshot good = full.snapshot();
  ReplayIndex small(ReplayDeck{}, 3);
  EXPECT_THROW(small.restore(good), Failure);
  ReplayIndex index(ReplayDeck{}, 4);
  EXPECT_NO_THROW(index.restore(good));
  ReplayIndex::Snapshot bad = good;
  bad.counters.pop_back();
  EXPECT_THROW(index.restore(bad), Failure);
  bad.counters.clear();
  EXPECT_THROW(index.restore(bad), Failure);
  bad = good;
  bad.entries[1].slot = bad.entries[0].slot;
  EXPECT_THROW(index.restore(bad), Failure);
  bad = good;
  bad.counters.back() = 99;  // a query that nobody has
  EXPECT_THROW(index.restore(bad), Failure);
}

TEST(ReplayDeck, EveryFieldHasHelpAndADefaultInItsRange) {
  ReplayDeck deck;
  FieldList list;
  deck.fields(list);
  EXPECT_EQ(list.fields().size(), 14U);
  for (const Field& field : list.fields()) {
    EXPECT_FALSE(field.help.empty()) << field.name;
    if (const auto* count = std::get_if<int64_t*>(&field.target)) {
      EXPECT_GE(static_cast<double>(**count), field.range.least) << field.name;
      EXPECT_LE(static_cast<double>(**count), field.range.most) << field.name;
    }
  }
}

}  // namespace
}  // namespace tightrope
