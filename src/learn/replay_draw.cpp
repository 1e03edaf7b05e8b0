// The drawing half of ReplayIndex: rate limits, epochs of queries, records within a query.
#include <algorithm>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/learn/replay_index.hpp"

namespace tightrope {

// The decisions of one draw, in order.
class ReplayIndex::Uniforms {
 public:
  Uniforms(uint64_t seed, int64_t draw) : seed_(seed), draw_(static_cast<uint64_t>(draw)) {}
  double operator()() { return uniform(seed_, Stream::draw, draw_, position_++); }

 private:
  uint64_t seed_, draw_;
  uint32_t position_ = 0;
};

int64_t ReplayIndex::oldest_allowed() const {
  return deck_.maximum_staleness > 0 ? step_ - deck_.maximum_staleness : always_;
}

ReplayIndex::Limit ReplayIndex::limit(int64_t groups, int64_t k) const {
  demand_ = std::max(demand_, groups * k);
  if (size() == 0 || arrived() < deck_.minimum) return Limit::minimum;
  const double allowed = deck_.samples_per_insert * static_cast<double>(arrived());
  if (deck_.samples_per_insert > 0 && static_cast<double>(drawn_ + groups * k) > allowed) {
    return Limit::samples_per_insert;
  }
  return by_newest_.rbegin()->first.first < oldest_allowed() ? Limit::too_stale : Limit::none;
}

bool ReplayIndex::room_to_insert() const {
  if (deck_.samples_per_insert == 0 || size() == 0) return true;
  if (by_newest_.rbegin()->first.first < oldest_allowed()) return true;
  const double ahead = deck_.samples_per_insert * static_cast<double>(arrived()) - static_cast<double>(drawn_);
  const double margin = deck_.samples_per_insert * static_cast<double>(deck_.minimum);
  return ahead < std::max(margin, static_cast<double>(demand_));
}

// By version and query, so that the order depends on the records alone.
void ReplayIndex::refill(Epoch epoch, int64_t from) {
  for (auto at = by_newest_.lower_bound({from, std::numeric_limits<int64_t>::min()}); at != by_newest_.end(); ++at)
    join(*at->second, epoch);
}

void ReplayIndex::join(Query& query, Epoch epoch) {
  if (query.position[epoch] >= 0) return;
  query.position[epoch] = static_cast<int64_t>(pending_[epoch].size());
  pending_[epoch].push_back(&query);
}

void ReplayIndex::cross_off(Query& query, Epoch epoch) {
  const int64_t position = std::exchange(query.position[epoch], -1);
  if (position < 0) return;
  auto& pending = pending_[epoch];
  if (pending.back() != &query) {
    pending[position] = pending.back();
    pending[position]->position[epoch] = position;
  }
  pending.pop_back();
}

// There must be a query with a record of version >= from[epoch].  A drawn query is crossed off both epochs, and two
// empty ones start together: where every query has recent records they are one epoch, whatever m is.
ReplayIndex::Query& ReplayIndex::next_query(Epoch epoch, const std::array<int64_t, 2>& from, int64_t k,
                                            Uniforms& uniforms) {
  const Epoch other = epoch == recent ? whole : recent;
  for (;;) {
    if (pending_[epoch].empty()) {
      refill(epoch, from[epoch]);
      if (pending_[other].empty()) refill(other, from[other]);
    }
    const auto& pending = pending_[epoch];
    const size_t count = pending.size();
    const size_t picked = std::min(static_cast<size_t>(uniforms() * static_cast<double>(count)), count - 1);
    if (pending[picked]->newest < from[epoch]) {
      cross_off(*pending[picked], epoch);
      continue;
    }
    size_t ahead = 0;  // of the one that was picked, to the next that has k records
    while (ahead < count && tree_.count_from(pending[(picked + ahead) % count]->root, from[epoch]) < k) ++ahead;
    Query& query = *pending[(picked + ahead) % count];  // all the way round where none has
    cross_off(query, epoch);
    cross_off(query, other);
    return query;
  }
}

void ReplayIndex::release(Query& query, size_t first, size_t last, int64_t from) {
  const auto begin = query.taken.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = query.taken.begin() + static_cast<std::ptrdiff_t>(last);
  const auto released = [&](int32_t slot) {
    if (entries_[slot].version < from) return false;
    taken_[slot] = 0;
    if (tree_.excluded(slot)) tree_.set_excluded(query.root, slot, false);
    return true;
  };
  query.taken.erase(std::remove_if(begin, end, released), end);
}

// Without replacement by rejection: a record that comes up again loses its mass, so it costs one retry at most.
// That is the distribution of drawing one after the other from what is left.
void ReplayIndex::draw_group(Query& query, int64_t from, int64_t k, Uniforms& uniforms,
                             std::vector<IndexEntry>& drawn) {
  const bool distinct = tree_.count_from(query.root, from) >= k;
  if (!distinct) release(query, 0, query.taken.size(), from);
  size_t earlier = query.taken.size();  // taken by earlier groups
  size_t last_round = 0;                // of this group, taken before a second round began
  Mass total = tree_.mass_from(query.root, from);
  for (size_t i = 0; i < static_cast<size_t>(k);) {
    const int32_t slot = tree_.pick(query.root, from, total, uniforms());
    if (slot == ReplayTree::none) {  // each was taken in this draw: a second round, without what this group has
      release(query, 0, earlier, from);
      earlier = query.taken.size() - i;
      last_round = i;
      total = tree_.mass_from(query.root, from);
      continue;
    }
    if (distinct && taken_[slot]) {
      tree_.set_excluded(query.root, slot, true);
      total = tree_.mass_from(query.root, from);
      continue;
    }
    if (distinct) {
      taken_[slot] = 1;
      query.taken.push_back(slot);
    }
    ++entries_[slot].uses;
    drawn.push_back(entries_[slot]);
    ++i;
  }
  release(query, earlier, earlier + last_round, from);
}

std::vector<IndexEntry> ReplayIndex::draw(int64_t groups, int64_t k, uint64_t seed) {
  EXPECT(groups > 0 && k > 0);
  const int64_t allowed = oldest_allowed();
  VALIDATE(size() > 0 && by_newest_.rbegin()->first.first >= allowed, "nothing can be drawn from the replay store",
           "it is empty or every record is older than replay.maximum_staleness", "ask limit() before draw()");
  const std::array<int64_t, 2> from = {std::max(newest_ - deck_.recent_window, allowed), allowed};  // [epoch]
  const bool some_recent = by_newest_.rbegin()->first.first >= from[recent];
  Uniforms uniforms(seed, draws_++);
  std::vector<IndexEntry> drawn;
  drawn.reserve(groups * k);
  std::vector<Query*> touched;
  touched.reserve(groups);
  for (int64_t group = 0; group < groups; ++group) {
    const Epoch epoch = uniforms() < deck_.recent_fraction && some_recent ? recent : whole;
    Query& query = next_query(epoch, from, k, uniforms);
    draw_group(query, from[epoch], k, uniforms, drawn);
    touched.push_back(&query);
  }
  for (Query* query : touched) release(*query, 0, query->taken.size(), always_);
  drawn_ += groups * k;
  return drawn;
}

}  // namespace tightrope
