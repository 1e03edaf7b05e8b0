#include "tightrope/learn/replay_index.hpp"

#include <algorithm>
#include <cmath>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr const char* damaged = "the checkpoint's replay index does not fit together";

}  // namespace

ReplayIndex::ReplayIndex(const ReplayDeck& deck, int64_t slots) : deck_(deck), capacity_(slots) {
  if (deck_.capacity > 0) capacity_ = std::min(capacity_, deck_.capacity);
  VALIDATE(capacity_ >= 1, "the replay store has room for no record", "replay.bytes over all stores is too little",
           "raise replay.bytes");
  VALIDATE(capacity_ <= std::numeric_limits<int32_t>::max(), "the replay store has more than 2^31 slots",
           "slots are numbered in 32 bits", "set replay.capacity");
}

RankHeap::Rank ReplayIndex::rank(const IndexEntry& entry) const {
  return {deck_.keep == "highest_reward" ? entry.log_reward : 0, entry.version, entry.ticket};
}

double ReplayIndex::exponent(const IndexEntry& entry) const {
  if (deck_.within == "uniform") return 0;
  // A reward of 0 (log -inf) is drawn only where nothing else is left, not never: the range must stay drawable.
  constexpr double most = 1e300;
  return std::clamp(deck_.inverse_temperature * std::clamp(entry.log_reward, -most, most), -most, most);
}

std::optional<int64_t> ReplayIndex::insert(IndexEntry entry) {
  VALIDATE(!std::isnan(entry.log_reward), "log reward of sample " + std::to_string(entry.id) + " is NaN",
           "its rank among the others is undefined", "check the reward of the task");
  newest_ = std::max(newest_, entry.version);
  entry.ticket = static_cast<uint64_t>(next_ticket_);
  entry.uses = 0;
  const auto query = queries_.find(entry.query);
  if (deck_.deduplicate && query != queries_.end()) {
    const auto equal = query->second.contents.find(entry.content);
    if (equal != query->second.contents.end()) return insert_duplicate(entry, equal->second);
  }
  const RankHeap* full = nullptr;
  if (deck_.capacity_per_query > 0 && query != queries_.end() &&
      query->second.ranks.size() >= deck_.capacity_per_query) {
    full = &query->second.ranks;
  } else if (size() >= capacity_) {
    full = &ranks_;
  }
  entry.slot = size();
  Query* left = nullptr;
  if (full) {
    const auto [worst, slot] = full->worst();
    if (rank(entry) < worst) {
      ++refused_;
      return std::nullopt;
    }
    entry.slot = slot;
    left = &leave(slot);
    ++evicted_;
  }
  join_epochs(enter(entry));
  if (left && left->root == ReplayTree::none) forget(*left);
  ++next_ticket_;
  ++inserted_;
  return entry.slot;
}

std::optional<int64_t> ReplayIndex::insert_duplicate(const IndexEntry& entry, int32_t slot) {
  ++refused_;
  if (entry.version < entries_[slot].version) return std::nullopt;
  IndexEntry refreshed = entry;
  refreshed.slot = slot;
  refreshed.uses = entries_[slot].uses;
  leave(slot);
  join_epochs(enter(refreshed));
  ++next_ticket_;
  return slot;
}

ReplayIndex::Query& ReplayIndex::enter(const IndexEntry& entry) {
  if (entry.slot == size()) {
    entries_.push_back(entry);
    taken_.push_back(0);
    place_.push_back(0);
    place_in_query_.push_back(0);
  } else {
    entries_[entry.slot] = entry;
  }
  Query& query = add(entry);
  tree_.insert(query.root, static_cast<int32_t>(entry.slot), entry.version, entry.ticket, exponent(entry));
  note_newest(query);
  return query;
}

ReplayIndex::Query& ReplayIndex::add(const IndexEntry& entry) {
  const auto slot = static_cast<int32_t>(entry.slot);
  Query& query = queries_[entry.query];
  query.query = entry.query;
  ranks_.push(rank(entry), slot, place_);
  if (deck_.capacity_per_query > 0) query.ranks.push(rank(entry), slot, place_in_query_);
  if (deck_.deduplicate) query.contents[entry.content] = slot;
  return query;
}

ReplayIndex::Query& ReplayIndex::leave(int32_t slot) {
  const IndexEntry& entry = entries_[slot];
  Query& query = queries_.at(entry.query);
  tree_.erase(query.root, slot);
  ranks_.erase(slot, place_);
  if (deck_.capacity_per_query > 0) query.ranks.erase(slot, place_in_query_);
  if (deck_.deduplicate) query.contents.erase(entry.content);
  note_newest(query);
  return query;
}

void ReplayIndex::forget(Query& query) {
  cross_off(query, recent);
  cross_off(query, whole);
  queries_.erase(queries_.find(query.query));
}

void ReplayIndex::note_newest(Query& query) {
  const int64_t version = query.root == ReplayTree::none ? always_ : tree_.newest_version(query.root);
  if (version == query.newest) return;
  if (query.newest != always_) by_newest_.erase({query.newest, query.query});
  if (version != always_) by_newest_.emplace(std::pair(version, query.query), &query);
  query.newest = version;
}

void ReplayIndex::join_epochs(Query& query) {
  for (const Epoch epoch : {recent, whole}) join(query, epoch);
}

ReplayIndex::Snapshot ReplayIndex::snapshot() const {
  Snapshot snapshot;
  snapshot.entries = entries_;
  std::sort(snapshot.entries.begin(), snapshot.entries.end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.ticket < b.ticket; });
  std::vector<int64_t>& c = snapshot.counters;
  std::apply([&](const auto&... counter) { c = {counter...}; }, counters(*this));
  for (const auto& pending : pending_) c.push_back(static_cast<int64_t>(pending.size()));
  for (const auto& pending : pending_) {
    for (const Query* query : pending) c.push_back(query->query);
  }
  return snapshot;
}

void ReplayIndex::Snapshot::check_counters() const {
  constexpr size_t fixed = Counters::count;
  constexpr int64_t most = int64_t{1} << 44;  // of anything that is counted: sums over stores stay far from 2^63
  const int64_t rest = static_cast<int64_t>(counters.size()) - static_cast<int64_t>(fixed) - 2;
  const bool whole =
      rest >= 0 && counters[fixed] >= 0 && counters[fixed] <= rest && counters[fixed + 1] == rest - counters[fixed];
  VALIDATE(whole, damaged, "its counters have another length", "restart from an earlier checkpoint");
  for (size_t i = 0; i < fixed; ++i) {
    VALIDATE(counters[i] >= -1 && counters[i] <= most, damaged,
             "it would have counted to " + std::to_string(counters[i]), "restart from an earlier checkpoint");
  }
}

void ReplayIndex::restore(Snapshot snapshot) {
  const std::vector<int64_t>& c = snapshot.counters;
  const auto records = static_cast<int64_t>(snapshot.entries.size());
  VALIDATE(records <= capacity_,
           "the checkpoint's replay store holds " + std::to_string(records) + " records, this one " +
               std::to_string(capacity_),
           "replay.bytes or replay.capacity is smaller than in the run that wrote it", "restart with its deck");
  constexpr size_t fixed = Counters::count;
  static_assert(fixed == std::tuple_size_v<decltype(counters(*this))>);
  snapshot.check_counters();
  *this = ReplayIndex(deck_, capacity_);
  taken_.resize(records);
  place_.resize(records);
  place_in_query_.resize(records);
  ranks_.reserve(records);
  tree_.reserve(records);
  std::vector<char> seen(records);
  for (const IndexEntry& entry : snapshot.entries) {
    VALIDATE(entry.slot >= 0 && entry.slot < records && !seen[entry.slot], damaged, "its slots are not one row",
             "restart from an earlier checkpoint");
    seen[entry.slot] = 1;
    const auto slot = static_cast<int32_t>(entry.slot);
    tree_.put(slot, entry.version, entry.ticket, exponent(entry));
    add(entry).taken.push_back(slot);
  }
  entries_ = std::move(snapshot.entries);
  for (int64_t slot = 0; slot < records; ++slot) {  // from the order of tickets to that of slots, each in its place
    while (entries_[slot].slot != slot) std::swap(entries_[slot], entries_[entries_[slot].slot]);
  }
  for (auto& [number, query] : queries_) {
    query.root = tree_.build(query.taken);
    query.taken.clear();
    note_newest(query);
  }
  size_t at = 0;
  std::apply([&](auto&... counter) { ((counter = c[at++]), ...); }, counters(*this));
  at += pending_.size();
  for (size_t epoch = 0; epoch < pending_.size(); ++epoch) {
    for (int64_t i = 0; i < c[fixed + epoch]; ++i) {
      const auto query = queries_.find(c[at++]);
      VALIDATE(query != queries_.end(), damaged, "an epoch names a query without records",
               "restart from an earlier checkpoint");
      query->second.position[epoch] = i;
      pending_[epoch].push_back(&query->second);
    }
  }
}

}  // namespace tightrope
