#pragma once
// ReplayIndex: what to keep in one store and what to draw from it.  Pure: no MPI, no files, no clock.
// Three orthogonal policies: what is kept (capacities, deduplication, age or reward), what is drawn (three levels),
// and how fast (rate limits).  DESIGN decisions 1, 4, 6.
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tightrope/core/deck.hpp"

namespace tightrope {

struct ReplayDeck {
  static constexpr const char* section = "replay";
  int64_t bytes = 64 << 20;            // all stores together
  int64_t lane_bytes = 1 << 20;        // one lane
  std::string lane = "bounded";        // bounded: searchers wait when a lane is full; overwrite: oldest are lost
  int64_t capacity = 0;                // records per store, 0 = as many as the bytes hold
  int64_t capacity_per_query = 0;      // 0 = no bound
  std::string keep = "newest";         // newest | highest_reward: what stays at capacity
  bool deduplicate = false;            // an equal trajectory refreshes the one that is there
  double recent_fraction = 1;          // m: probability that a query's group is drawn from its recent records
  int64_t recent_window = 16;          // recent = version >= newest - recent_window, in updates
  std::string within = "uniform";      // uniform | softmax: of log reward, within a query
  double inverse_temperature = 1;      // of that softmax
  int64_t minimum = 0;                 // records before the first draw
  double samples_per_insert = 0;       // at most so many draws per record inserted; 0 = no bound
  int64_t maximum_staleness = 0;       // older records are never drawn, in updates; 0 = no bound
  void fields(FieldList& f);
};

struct IndexEntry {
  int64_t query = 0, id = 0, version = 0, length = 0;
  uint64_t content = 0;    // equal for equal trajectories
  double log_reward = 0;   // nats
  uint64_t ticket = 0;     // of the store: unique, grows
  int64_t slot = -1;
  int64_t uses = 0;        // times drawn
};

class ReplayIndex {
 public:
  ReplayIndex(const ReplayDeck& deck, int64_t slots);

  // Takes a record in, evicting by policy; returns its slot, or nothing where the policy refuses it.
  // entry.ticket and entry.slot are assigned here.
  std::optional<int64_t> insert(IndexEntry entry);

  // Moves the clock: staleness = step - version; `newest` is the newest version seen or inserted.
  void set_step(int64_t step) { step_ = step; }

  enum class Limit { none, minimum, samples_per_insert, too_stale };
  Limit limit(int64_t groups, int64_t k) const;      // why a draw of groups x k may not happen now
  bool room_to_insert() const;                       // false: inserts are far enough ahead of draws

  // Draws `groups` groups of `k`: queries without replacement per epoch; recent with probability m, else the whole
  // sub-buffer; within it uniform or softmax, with replacement only where fewer than k distinct.  Deterministic in
  // (seed, draw counter).  Only where limit() is none.  Entry i belongs to group i / k.
  std::vector<IndexEntry> draw(int64_t groups, int64_t k, uint64_t seed);

  int64_t size() const;
  int64_t capacity() const { return capacity_; }
  int64_t inserted() const { return inserted_; }
  int64_t drawn() const { return drawn_; }
  int64_t refused() const { return refused_; }       // by policy or as duplicates
  int64_t evicted() const { return evicted_; }

  // Everything that a restart needs, in an order that does not depend on hashing.
  struct Snapshot {
    std::vector<IndexEntry> entries;       // ascending ticket
    std::vector<int64_t> counters;         // next ticket, inserted, drawn, draws, newest, epoch state ...
  };
  Snapshot snapshot() const;
  void restore(const Snapshot& snapshot);  // slots are kept as they are

 private:
  ReplayDeck deck_;
  int64_t capacity_ = 0;
  int64_t step_ = 0, newest_ = -1, inserted_ = 0, drawn_ = 0, refused_ = 0, evicted_ = 0;
};

}  // namespace tightrope
