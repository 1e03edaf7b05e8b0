#pragma once
// ReplayIndex: what to keep in one store and what to draw from it.  Pure: no MPI, no files, no clock.
// Three orthogonal policies: what is kept (capacities, deduplication, age or reward), what is drawn (three levels),
// and how fast (rate limits).  DESIGN decisions 1, 4, 6.  One thread.
// Cost, n = records of the query concerned: insert O(log size); a record drawn O(log n), uniform or softmax.
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tightrope/base/big_vector.hpp"
#include "tightrope/core/deck.hpp"
#include "tightrope/learn/rank_heap.hpp"
#include "tightrope/learn/replay_tree.hpp"

namespace tightrope {

struct ReplayDeck {
  static constexpr const char* section = "replay";
  int64_t bytes = 64 << 20;        // all stores together
  int64_t lane_bytes = 1 << 20;    // one lane
  std::string lane = "bounded";    // bounded: searchers wait when a lane is full; overwrite: oldest are lost
  int64_t capacity = 0;            // records per store, 0 = as many as the bytes hold
  int64_t capacity_per_query = 0;  // 0 = no bound
  std::string keep = "newest";     // newest | highest_reward: what stays at capacity
  bool deduplicate = false;        // an equal trajectory refreshes the one that is there
  double recent_fraction = 1;      // m: probability that a query's group is drawn from its recent records
  int64_t recent_window = 16;      // recent = version >= newest - recent_window, in updates
  std::string within = "uniform";  // uniform | softmax: of log reward, within a query
  double inverse_temperature = 1;  // of that softmax
  int64_t minimum = 0;             // records that arrive before the first draw
  double samples_per_insert = 0;   // at most so many draws per record that arrived; 0 = no bound
  int64_t maximum_staleness = 0;   // older records are never drawn, in updates; 0 = no bound
  void fields(FieldList& f);
};

struct IndexEntry {
  int64_t query = 0, id = 0, version = 0, length = 0;
  uint64_t content = 0;   // equal for equal trajectories
  double log_reward = 0;  // nats
  uint64_t ticket = 0;    // of the store: unique, grows
  int64_t slot = -1;
  int64_t uses = 0;  // times drawn
};

class ReplayIndex {
 public:
  // At most `slots` records, or deck.capacity where that is set and smaller.
  ReplayIndex(const ReplayDeck& deck, int64_t slots);
  ReplayIndex(ReplayIndex&&) = default;
  ReplayIndex& operator=(ReplayIndex&&) = default;

  // Takes a record in, evicting by policy; returns its slot, or nothing where the policy refuses it.
  // entry.ticket, entry.slot and entry.uses are assigned here: at(slot) has them.
  // At a capacity (the query's own first, then the store's) the worst record goes: the oldest (lowest version, then
  // lowest ticket), or with keep = highest_reward the least rewarded (of equals the oldest).  A newcomer that is
  // itself the worst is refused.
  // With deduplicate, a record whose content its query already holds takes no second slot: unless it is older it
  // replaces the one that is there (same slot, new ticket, uses kept) and its slot is returned, so that the store
  // rewrites it; older ones are refused.  Both count as refused.
  std::optional<int64_t> insert(IndexEntry entry);

  // Moves the clock: staleness = step - version; `newest` is the newest version seen or inserted.
  void set_step(int64_t step) { step_ = step; }

  // Why a draw of groups x k may not happen now.  The rate limits count every record that arrived, refused ones too:
  // they were sampled and scored, and a limit that ignored them would never let go once nothing new can be found.
  //   minimum             fewer than deck.minimum records have arrived, or none is here
  //   samples_per_insert  drawn + groups * k > samples_per_insert * arrived
  //   too_stale           every record is older than maximum_staleness
  enum class Limit { none, minimum, samples_per_insert, too_stale };
  Limit limit(int64_t groups, int64_t k) const;
  // False where inserts are far enough ahead of draws: samples_per_insert * arrived - drawn >= the larger of
  // samples_per_insert * minimum and the largest groups * k that limit() was asked for.  So whatever holds a draw
  // back, there is room for the records that let it happen.  Always true without samples_per_insert.
  bool room_to_insert() const;

  // Draws `groups` groups of `k`.  Only where limit() is none.  Entry i belongs to group i / k; its uses count this
  // one. Deterministic in (seed, draw counter, records).  Per group:
  //  1. With probability m a query that has recent records, else (and where there is none) any query; never one whose
  //     records are all too stale.  In random order, without replacement per epoch: a query that was drawn waits until
  //     the others of its kind have been drawn, or until a record of it arrives.  Where one that has fewer than k such
  //     records comes up (a visit may have arrived in part), the next that has k goes first.
  //  2. Its recent records, or all of its records that are not too stale.
  //  3. k of these, uniform or by softmax, without replacement: over the whole draw where the query has several groups
  //     in it (each record once before any is drawn again), with replacement only where there are fewer than k.
  std::vector<IndexEntry> draw(int64_t groups, int64_t k, uint64_t seed);

  const IndexEntry& at(int64_t slot) const { return entries_[slot]; }  // slot < size(): slots fill from 0
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t capacity() const { return capacity_; }
  int64_t inserted() const { return inserted_; }  // = size + evicted
  int64_t drawn() const { return drawn_; }
  int64_t refused() const { return refused_; }  // by policy or as duplicates
  int64_t evicted() const { return evicted_; }

  // Places in Snapshot::counters.
  struct Counters {
    enum Place : size_t { next_ticket, inserted, drawn, refused, evicted, draws, newest, step, demand, count };
  };
  // Everything that a restart needs, in an order that does not depend on hashing.
  struct Snapshot {
    BigVector<IndexEntry> entries;  // ascending ticket
    std::vector<int64_t> counters;  // Counters, then two lengths and the queries still to come in the two epochs
    void check_counters() const;    // throws Failure where no index can have had them
  };
  Snapshot snapshot() const;
  void restore(Snapshot snapshot);  // slots are kept as they are; afterwards as if never interrupted

 private:
  static constexpr int64_t always_ = std::numeric_limits<int64_t>::min();
  enum Epoch : size_t { recent, whole };  // whose queries still to come are kept

  struct Query {
    int64_t query = 0;
    int64_t newest = always_;                        // version
    int32_t root = ReplayTree::none;                 // its records by version
    RankHeap ranks;                                  // only with capacity_per_query
    std::unordered_map<uint64_t, int32_t> contents;  // -> slot; only with deduplicate
    std::vector<int32_t> taken;                      // slots, in the draw that is being made
    std::array<int64_t, 2> position = {-1, -1};      // in pending_[epoch]
  };

  class Uniforms;

  // In the order of Counters.
  template <class Self>
  static auto counters(Self& self) {
    return std::tie(self.next_ticket_, self.inserted_, self.drawn_, self.refused_, self.evicted_, self.draws_,
                    self.newest_, self.step_, self.demand_);
  }

  RankHeap::Rank rank(const IndexEntry& entry) const;  // the least is evicted first
  double exponent(const IndexEntry& entry) const;      // nats, of the softmax within a query
  std::optional<int64_t> insert_duplicate(const IndexEntry& entry, int32_t slot);
  Query& enter(const IndexEntry& entry);  // into every structure but the epochs; entry.slot <= size()
  Query& add(const IndexEntry& entry);    // at(entry.slot): into all of these but the tree and what is known from it
  Query& leave(int32_t slot);             // out of every structure but the epochs
  void forget(Query& query);              // that has no record left
  void note_newest(Query& query);
  void join_epochs(Query& query);
  void join(Query& query, Epoch epoch);  // where it is not in it

  int64_t oldest_allowed() const;
  int64_t arrived() const { return inserted_ + refused_; }
  void refill(Epoch epoch, int64_t from);
  void cross_off(Query& query, Epoch epoch);
  Query& next_query(Epoch epoch, const std::array<int64_t, 2>& from, int64_t k, Uniforms& uniforms);
  void draw_group(Query& query, int64_t from, int64_t k, Uniforms& uniforms, std::vector<IndexEntry>& drawn);
  // Of the records query.taken[first, last), those of version >= from may be drawn again.
  void release(Query& query, size_t first, size_t last, int64_t from);

  ReplayDeck deck_;
  int64_t capacity_ = 0;
  int64_t step_ = 0, newest_ = -1, inserted_ = 0, drawn_ = 0, refused_ = 0, evicted_ = 0, draws_ = 0, next_ticket_ = 0;
  mutable int64_t demand_ = 0;     // largest groups * k that limit() was asked for
  BigVector<IndexEntry> entries_;  // [slot]
  std::vector<char> taken_;        // [slot], in the draw that is being made
  ReplayTree tree_;
  RankHeap ranks_;                                           // of all records
  std::vector<int32_t> place_, place_in_query_;              // [slot], in ranks_ and in its query's
  std::unordered_map<int64_t, Query> queries_;               // those with records
  std::map<std::pair<int64_t, int64_t>, Query*> by_newest_;  // (newest version, query)
  std::array<std::vector<Query*>, 2> pending_;               // [epoch], in no order
};

}  // namespace tightrope
