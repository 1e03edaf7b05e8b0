// Stores of a run shared out anew among another number of them.
#include "tightrope/learn/replay_merge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using Counters = ReplayIndex::Counters;

constexpr int64_t kQueries = 7, kStep = 40;

// By query where there are as many queries as stores, else by id: as World::owner.
ReplayMerge::Owner owner_of(int64_t stores) {
  return [stores](int64_t query, int64_t id) { return (kQueries >= stores ? query : id) % stores; };
}

// The indices of a run with so many stores, after a while of inserts and draws.
std::vector<ReplayIndex> run(const ReplayDeck& deck, int64_t stores, int64_t slots, int inserts) {
  std::vector<ReplayIndex> indices;
  for (int64_t s = 0; s < stores; ++s) indices.emplace_back(deck, slots);
  std::mt19937 random(7);
  const auto owner = owner_of(stores);
  for (int64_t i = 0; i < inserts; ++i) {
    IndexEntry entry;
    entry.query = static_cast<int64_t>(random() % kQueries);
    entry.id = 1000 + i;
    entry.version = i * kStep / inserts;
    entry.content = static_cast<uint64_t>(i);
    entry.log_reward = static_cast<double>(random() % 100);
    entry.length = 3;
    auto& index = indices[static_cast<size_t>(owner(entry.query, entry.id))];
    index.set_step(entry.version);
    index.insert(entry);
    for (auto& one : indices) {
      if (i % 5 == 0 && one.limit(2, 2) == ReplayIndex::Limit::none) one.draw(2, 2, 3);
    }
  }
  return indices;
}

struct Merged {
  std::vector<ReplayMerge::Result> results;  // of each new store
  std::vector<std::vector<int64_t>> named;   // ids in the order in which add() named them
};

Merged merge(const std::vector<ReplayIndex::Snapshot>& old, const ReplayDeck& deck, int64_t stores, int64_t capacity) {
  Merged merged;
  for (int64_t store = 0; store < stores; ++store) {
    ReplayMerge one(deck, capacity, store, stores, owner_of(stores));
    merged.named.emplace_back();
    for (const auto& snapshot : old) {
      for (const size_t i : one.add(snapshot)) merged.named.back().push_back(snapshot.entries[i].id);
    }
    merged.results.push_back(one.finish());
  }
  return merged;
}

std::vector<ReplayIndex::Snapshot> snapshots(const std::vector<ReplayIndex>& indices) {
  std::vector<ReplayIndex::Snapshot> all;
  for (const auto& index : indices) all.push_back(index.snapshot());
  return all;
}

using Content = std::tuple<int64_t, int64_t, int64_t, uint64_t, double, int64_t, int64_t>;
std::vector<Content> contents(const std::vector<ReplayIndex::Snapshot>& stores) {
  std::vector<Content> all;
  for (const auto& store : stores) {
    for (const IndexEntry& e : store.entries)
      all.emplace_back(e.id, e.query, e.version, e.content, e.log_reward, e.length, e.uses);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<ReplayIndex::Snapshot> indices_of(const Merged& merged) {
  std::vector<ReplayIndex::Snapshot> all;
  for (const auto& result : merged.results) all.push_back(result.index);
  return all;
}

int64_t total(const std::vector<ReplayIndex::Snapshot>& stores, Counters::Place place) {
  int64_t sum = 0;
  for (const auto& store : stores) sum += store.counters[place];
  return sum;
}

TEST(ReplayMerge, RecordsAndTotalsStayWhatTheyWere) {
  ReplayDeck deck;
  deck.minimum = 10;
  deck.samples_per_insert = 3;
  for (const auto& [before, after] : {std::pair(1, 2), {2, 1}, {2, 3}, {3, 2}, {4, 1}, {1, 9}}) {
    SCOPED_TRACE(std::to_string(before) + " to " + std::to_string(after));
    const auto old = snapshots(run(deck, before, 60, 600));
    const auto now = indices_of(merge(old, deck, after, 1000));
    EXPECT_EQ(contents(now), contents(old));
    for (const auto place : {Counters::inserted, Counters::drawn, Counters::refused, Counters::evicted})
      EXPECT_EQ(total(now, place), total(old, place)) << place;
    for (size_t store = 0; store < now.size(); ++store) {
      const auto& entries = now[store].entries;
      const auto& counters = now[store].counters;
      EXPECT_EQ(counters[Counters::inserted], static_cast<int64_t>(entries.size()) + counters[Counters::evicted]);
      EXPECT_EQ(counters[Counters::next_ticket], static_cast<int64_t>(entries.size()));
      EXPECT_EQ(counters[Counters::step], old[0].counters[Counters::step]);
      for (size_t i = 0; i < entries.size(); ++i) {
        EXPECT_EQ(owner_of(after)(entries[i].query, entries[i].id), static_cast<int64_t>(store));
        EXPECT_EQ(entries[i].slot, static_cast<int64_t>(i));
        EXPECT_EQ(entries[i].ticket, i);
        if (i > 0) {
          EXPECT_LE(entries[i - 1].version, entries[i].version);
        }
      }
    }
  }
}

TEST(ReplayMerge, SourcesNameTheRecordsInTheirNewOrder) {
  const auto merged = merge(snapshots(run({}, 3, 50, 300)), {}, 2, 1000);
  for (size_t store = 0; store < 2; ++store) {
    const auto& result = merged.results[store];
    ASSERT_EQ(result.source.size(), result.index.entries.size());
    for (size_t i = 0; i < result.source.size(); ++i)
      EXPECT_EQ(merged.named[store][result.source[i]], result.index.entries[i].id);
  }
}

TEST(ReplayMerge, AnIndexGoesOnWithIt) {
  ReplayDeck deck;
  deck.minimum = 10;
  deck.samples_per_insert = 3;
  for (const int64_t after : {1, 3}) {
    const auto merged = merge(snapshots(run(deck, 2, 60, 600)), deck, after, 1000);
    for (const auto& result : merged.results) {
      ReplayIndex index(deck, 1000);
      index.restore(result.index);
      EXPECT_EQ(index.snapshot().counters, result.index.counters);
      const int64_t allowed = (3 * (index.inserted() + index.refused()) - index.drawn()) / 4;
      int64_t draws = 0;
      for (; index.limit(2, 2) == ReplayIndex::Limit::none; ++draws) EXPECT_EQ(index.draw(2, 2, 5).size(), 4U);
      EXPECT_EQ(draws, allowed);
      EXPECT_TRUE(index.room_to_insert());
    }
  }
}

TEST(ReplayMerge, QueriesThatWaitedForTheirTurnStillDo) {
  auto indices = run({}, 2, 60, 600);
  indices[0].draw(1, 2, 3);  // of its four queries three are left
  const auto old = snapshots(indices);
  const auto merged = merge(old, {}, 1, 1000);
  const auto pending = [](const ReplayIndex::Snapshot& snapshot) {
    std::vector<int64_t> queries(snapshot.counters.begin() + Counters::count + 2, snapshot.counters.end());
    std::sort(queries.begin(), queries.end());
    return queries;
  };
  std::vector<int64_t> both = pending(old[0]), more = pending(old[1]);
  both.insert(both.end(), more.begin(), more.end());
  std::sort(both.begin(), both.end());
  EXPECT_FALSE(both.empty());
  EXPECT_EQ(pending(merged.results[0].index), both);
}

TEST(ReplayMerge, TheWorstAreLeftOutWhereThereIsNoRoom) {
  ReplayDeck deck;
  const auto old = snapshots(run(deck, 2, 100, 1000));
  for (const std::string keep : {"newest", "highest_reward"}) {
    deck.keep = keep;
    const auto result = merge(old, deck, 1, 120).results[0];
    EXPECT_EQ(result.left_out, 80);
    EXPECT_EQ(result.index.entries.size(), 120U);
    EXPECT_EQ(result.index.counters[Counters::inserted], total(old, Counters::inserted));
    EXPECT_EQ(result.index.counters[Counters::evicted], total(old, Counters::evicted) + 80);
    // Nothing that was left out ranks above anything that stayed.
    std::vector<Content> all = contents(old), kept = contents({result.index}), gone;
    std::set_difference(all.begin(), all.end(), kept.begin(), kept.end(), std::back_inserter(gone));
    const auto rank = [&](const Content& c) {
      return std::pair(keep == "newest" ? 0 : std::get<4>(c), std::get<2>(c));
    };
    const auto above = [&](const Content& a, const Content& b) { return rank(a) < rank(b); };
    EXPECT_LE(rank(*std::max_element(gone.begin(), gone.end(), above)),
              rank(*std::min_element(kept.begin(), kept.end(), above)));
  }
  deck.capacity_per_query = 5;
  const auto result = merge(old, deck, 1, 1000).results[0];
  EXPECT_EQ(result.index.entries.size(), static_cast<size_t>(5 * kQueries));
}

TEST(ReplayMerge, DamagedCountersAreRefused) {
  auto old = snapshots(run({}, 1, 50, 100));
  old[0].counters.pop_back();
  ReplayMerge one({}, 100, 0, 1, owner_of(1));
  EXPECT_THROW(one.add(old[0]), Failure);
  old[0].counters.clear();
  EXPECT_THROW(one.add(old[0]), Failure);
}

}  // namespace
}  // namespace tightrope
