// In which order queries are drawn: epochs, what arrives, what is not complete.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tightrope/learn/replay_index.hpp"

namespace tightrope {
namespace {

IndexEntry record(int64_t query, int64_t id, int64_t version) {
  IndexEntry entry;
  entry.query = query;
  entry.id = id;
  entry.version = version;
  return entry;
}

TEST(ReplayEpoch, EveryQueryOncePerEpochInAnyOrder) {
  for (const double m : {0.0, 0.5, 1.0}) {
    ReplayDeck deck;
    deck.recent_fraction = m;
    ReplayIndex index(deck, 100);
    for (int64_t i = 0; i < 35; ++i) index.insert(record(i % 7 * 1000, i, 0));
    std::vector<int64_t> order;
    for (int n = 0; n < 70; ++n) {
      const auto drawn = index.draw(3, 2, 4);
      for (size_t i = 0; i < drawn.size(); i += 2) {
        EXPECT_EQ(drawn[i].query, drawn[i + 1].query);
        order.push_back(drawn[i].query);
      }
    }
    std::set<std::vector<int64_t>> orders;
    for (size_t epoch = 0; epoch < 30; ++epoch) {
      const std::vector<int64_t> one(order.begin() + epoch * 7, order.begin() + epoch * 7 + 7);
      EXPECT_EQ(std::set<int64_t>(one.begin(), one.end()).size(), 7U) << m;
      orders.insert(one);
    }
    EXPECT_GT(orders.size(), 25U);
  }
}

TEST(ReplayEpoch, WhatArrivesGoesBeforeWhatWasDrawn) {
  for (const double m : {0.0, 0.5, 1.0}) {
    ReplayDeck deck;
    deck.recent_fraction = m;
    ReplayIndex index(deck, 1000);
    for (int64_t version = 0; version < 20; ++version) {
      for (int64_t i = 0; i < 12; ++i) index.insert(record(version * 6 + i / 2, version * 12 + i, version));
      for (int n = 0; n < 2; ++n)
        for (const IndexEntry& entry : index.draw(3, 2, 5)) {
          EXPECT_EQ(entry.version, version) << m;
          EXPECT_EQ(entry.uses, 1) << m;
        }
    }
  }
}

TEST(ReplayEpoch, AnotherRecordBringsItsQueryBack) {
  ReplayIndex index(ReplayDeck{}, 100);
  for (int64_t i = 0; i < 6; ++i) index.insert(record(i / 2, i, 0));
  const int64_t drawn = index.draw(1, 2, 3).front().query;
  index.insert(record(drawn, 6, 1));
  std::multiset<int64_t> next;
  for (int n = 0; n < 3; ++n) next.insert(index.draw(1, 2, 3).front().query);
  EXPECT_EQ(next, (std::multiset<int64_t>{0, 1, 2}));
}

TEST(ReplayEpoch, AVisitThatArrivedInPartWaits) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    ReplayIndex index(ReplayDeck{}, 100);
    for (int64_t i = 0; i < 9; ++i) index.insert(record(i / 4, i, 0));  // of query 2 one record
    std::set<int64_t> first;
    for (const IndexEntry& entry : index.draw(2, 4, seed)) first.insert(entry.query);
    EXPECT_EQ(first, (std::set<int64_t>{0, 1}));
    EXPECT_EQ(index.draw(1, 4, seed).front().query, 2) << "nothing else is left in the epoch";
  }
}

}  // namespace
}  // namespace tightrope
