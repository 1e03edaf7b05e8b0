// Random operations on the index beside a naive model of it, and beside a copy that is restored half way.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <span>
#include <tuple>

#include "tightrope/learn/replay_index.hpp"

namespace tightrope {
namespace {

// What to keep, by looking at every record each time.
class NaiveIndex {
 public:
  NaiveIndex(const ReplayDeck& deck, int64_t slots) : deck_(deck), slots_(slots) {}

  std::optional<int64_t> insert(IndexEntry entry) {
    entry.ticket = ticket_;
    entry.slot = static_cast<int64_t>(records_.size());
    for (IndexEntry& present : records_) {
      if (!deck_.deduplicate || present.query != entry.query || present.content != entry.content) continue;
      ++refused;
      if (entry.version < present.version) return std::nullopt;
      entry.slot = present.slot;
      entry.uses = present.uses;
      present = entry;
      ++ticket_;
      return entry.slot;
    }
    const bool full = static_cast<int64_t>(records_.size()) == slots_;
    const bool query_full = deck_.capacity_per_query > 0 && of(entry.query, -100) >= deck_.capacity_per_query;
    if (!full && !query_full) {
      records_.push_back(entry);
    } else {
      IndexEntry* worst = &entry;
      for (IndexEntry& present : records_) {
        if ((!query_full || present.query == entry.query) && key(present) < key(*worst)) worst = &present;
      }
      if (worst == &entry) {
        ++refused;
        return std::nullopt;
      }
      entry.slot = worst->slot;
      *worst = entry;
      ++evicted;
    }
    ++inserted;
    ++ticket_;
    return entry.slot;
  }

  int64_t of(int64_t query, int64_t from) const {
    return std::count_if(records_.begin(), records_.end(),
                         [&](const IndexEntry& r) { return r.query == query && r.version >= from; });
  }
  bool any(int64_t from) const {
    return std::any_of(records_.begin(), records_.end(), [&](const IndexEntry& r) { return r.version >= from; });
  }
  std::vector<IndexEntry>& records() { return records_; }

  int64_t inserted = 0, refused = 0, evicted = 0;

 private:
  std::tuple<double, int64_t, uint64_t> key(const IndexEntry& entry) const {
    return {deck_.keep == "highest_reward" ? entry.log_reward : 0, entry.version, entry.ticket};
  }

  ReplayDeck deck_;
  int64_t slots_;
  uint64_t ticket_ = 0;
  std::vector<IndexEntry> records_;  // [slot]
};

auto fields(const IndexEntry& e) {
  return std::tuple(e.query, e.id, e.version, e.length, e.content, e.log_reward, e.ticket, e.slot, e.uses);
}

void expect_equal(std::span<const IndexEntry> a, std::span<const IndexEntry> b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(fields(a[i]), fields(b[i])) << i;
}

class Arrivals {
 public:
  explicit Arrivals(uint64_t seed) : random_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  IndexEntry next(int64_t clock) {
    IndexEntry entry;
    entry.query = below(9) * below(9);
    entry.id = static_cast<int64_t>(random_() >> 1);
    entry.version = clock / 20 - below(6);
    entry.content = random_() % 16;
    entry.length = below(30);
    entry.log_reward = static_cast<double>(below(40)) / 4;  // with ties
    return entry;
  }

 private:
  std::mt19937_64 random_;
};

ReplayDeck deck_number(int n) {
  ReplayDeck deck;
  deck.capacity_per_query = n & 1 ? 11 : 0;
  deck.keep = n & 2 ? "highest_reward" : "newest";
  deck.deduplicate = n & 4;
  deck.within = n & 8 ? "softmax" : "uniform";
  deck.recent_fraction = 0.6;
  deck.recent_window = 3;
  deck.maximum_staleness = n & 16 ? 12 : 0;
  return deck;
}

// A draw obeys the three levels: who may be in it, and how often.
void check_draw(const std::vector<IndexEntry>& drawn, int64_t k, int64_t recent, int64_t allowed, NaiveIndex& model) {
  for (size_t i = 0; i < drawn.size(); ++i) {
    IndexEntry& present = model.records().at(drawn[i].slot);
    ++present.uses;
    ASSERT_EQ(fields(drawn[i]), fields(present));
    ASSERT_GE(drawn[i].version, allowed);
  }
  std::map<int64_t, std::map<int64_t, int>> times;  // [query][slot], where no group had to replace
  std::set<int64_t> replaced;
  for (size_t i = 0; i < drawn.size(); i += k) {
    std::set<int64_t> slots;
    int64_t oldest = drawn[i].version;
    for (size_t j = i; j < i + k; ++j) {
      ASSERT_EQ(drawn[j].query, drawn[i].query);
      slots.insert(drawn[j].slot);
      oldest = std::min(oldest, drawn[j].version);
      ++times[drawn[i].query][drawn[j].slot];
    }
    const int64_t query = drawn[i].query;
    const bool from_recent = oldest >= recent;
    const bool could_repeat = model.of(query, allowed) < k || (from_recent && model.of(query, recent) < k);
    if (could_repeat) replaced.insert(query);
    if (!could_repeat) {
      ASSERT_EQ(static_cast<int64_t>(slots.size()), k);
    }
  }
  for (const auto& [query, slots] : times) {
    int64_t total = 0, most = 0;
    for (const auto& [slot, n] : slots) total += n, most = std::max<int64_t>(most, n);
    // All groups fit into the recent records, or all groups were over the whole sub-buffer: no record twice.
    if (!replaced.contains(query) && total <= model.of(query, std::max(recent, allowed))) {
      ASSERT_EQ(most, 1);
    }
  }
}

TEST(ReplayModel, KeepsWhatTheNaiveModelKeepsAndDrawsWhatTheLevelsAllow) {
  constexpr int64_t slots = 60, k = 3;
  for (int n = 0; n < 32; ++n) {
    SCOPED_TRACE(n);
    const ReplayDeck deck = deck_number(n);
    ReplayIndex index(deck, slots);
    NaiveIndex model(deck, slots);
    Arrivals arrivals(n);
    int64_t newest = -1;
    for (int64_t clock = 0; clock < 1500; ++clock) {
      const IndexEntry entry = arrivals.next(clock);
      newest = std::max(newest, entry.version);
      ASSERT_EQ(index.insert(entry), model.insert(entry));
      const int64_t step = clock / 20 + arrivals.below(12);
      index.set_step(step);
      if (arrivals.below(4) == 0 && index.limit(5, k) == ReplayIndex::Limit::none) {
        const int64_t allowed = deck.maximum_staleness ? step - deck.maximum_staleness : -100;
        const int64_t recent = std::max(newest - deck.recent_window, allowed);
        ASSERT_TRUE(model.any(allowed));
        check_draw(index.draw(5, k, 77), k, recent, allowed, model);
        if (HasFatalFailure()) return;
      }
      if (clock % 50 != 0) continue;
      auto kept = index.snapshot().entries;
      std::sort(kept.begin(), kept.end(), [](auto& a, auto& b) { return a.slot < b.slot; });
      expect_equal(kept, model.records());
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(index.inserted(), model.inserted);
    EXPECT_EQ(index.refused(), model.refused);
    EXPECT_EQ(index.evicted(), model.evicted);
    EXPECT_EQ(index.inserted(), index.size() + index.evicted());
    EXPECT_EQ(index.inserted() + index.refused(), 1500);
  }
}

TEST(ReplayModel, ARestoredIndexContinuesBitForBit) {
  for (int n = 0; n < 32; ++n) {
    SCOPED_TRACE(n);
    ReplayDeck deck = deck_number(n);
    deck.samples_per_insert = 8;
    ReplayIndex whole(deck, 80), interrupted(deck, 80);
    Arrivals arrivals(1000 + n);
    const int64_t stop = 100 + arrivals.below(900);
    for (int64_t clock = 0; clock < 1500; ++clock) {
      if (clock == stop || clock == stop + 200) {
        const ReplayIndex::Snapshot snapshot = interrupted.snapshot();
        interrupted = ReplayIndex(deck, 80);
        interrupted.restore(snapshot);
        EXPECT_EQ(interrupted.snapshot().counters, snapshot.counters);
      }
      const IndexEntry entry = arrivals.next(clock);
      const int64_t step = clock / 20 + arrivals.below(12);
      for (ReplayIndex* index : {&whole, &interrupted}) index->set_step(step);
      ASSERT_EQ(whole.room_to_insert(), interrupted.room_to_insert());
      ASSERT_EQ(whole.insert(entry), interrupted.insert(entry));
      const int64_t groups = 1 + arrivals.below(6);
      const auto limit = whole.limit(groups, 3);
      ASSERT_EQ(limit, interrupted.limit(groups, 3));
      if (limit == ReplayIndex::Limit::none) expect_equal(whole.draw(groups, 3, 5), interrupted.draw(groups, 3, 5));
      if (HasFatalFailure()) return;
    }
    const auto a = whole.snapshot(), b = interrupted.snapshot();
    expect_equal(a.entries, b.entries);
    EXPECT_EQ(a.counters, b.counters);
  }
}

}  // namespace
}  // namespace tightrope
