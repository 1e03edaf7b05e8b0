#pragma once
// ReplayMerge: one store's index out of those of a run with another number of stores.  Pure.
// Every new store sees all old ones, one after another, and takes the records that it owns.  Their tickets are new, in
// the order (version, old store, old ticket).  Totals over the stores stay: each counts the inserts of its own records,
// evictions and refusals are shared out evenly, draws in proportion to what arrived, so that rate limits go on.
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "tightrope/learn/replay_index.hpp"

namespace tightrope {

class ReplayMerge {
 public:
  using Owner = std::function<int64_t(int64_t query, int64_t id)>;  // the store that a record belongs to
  // `capacity` is a store's, as ReplayIndex's.
  ReplayMerge(const ReplayDeck& deck, int64_t capacity, int64_t store, int64_t stores, Owner owner);

  // The next old store.  Answers which of its entries belong here, in order.  Throws Failure where its counters are
  // damaged.
  std::vector<size_t> add(const ReplayIndex::Snapshot& old);

  struct Result {
    ReplayIndex::Snapshot index;  // slots 0, 1, 2 ... in the order of tickets
    std::vector<size_t> source;   // entry i is the source[i]-th that add() named, over all calls
    int64_t left_out = 0;         // of what belongs here: the worst, for lack of room
  };
  Result finish();  // after the last store

 private:
  struct Kept {
    IndexEntry entry;
    int64_t old_store = 0;
    size_t source = 0;
  };
  void leave_out_the_worst();
  std::vector<int64_t> counters() const;
  void add_pending(ReplayIndex::Snapshot& index) const;

  const ReplayDeck deck_;
  const int64_t capacity_, store_, stores_;
  const Owner owner_;
  int64_t old_stores_ = 0;
  std::vector<Kept> kept_;
  std::vector<int64_t> owned_;                                     // records of each new store
  std::array<int64_t, ReplayIndex::Counters::count> totals_ = {};  // over the old stores: sums, or the largest
  std::array<std::vector<int64_t>, 2> pending_;                    // queries, of each epoch, as they came
  int64_t left_out_ = 0;
};

}  // namespace tightrope
