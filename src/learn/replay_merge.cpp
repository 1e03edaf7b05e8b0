#include "tightrope/learn/replay_merge.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_set>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using Counters = ReplayIndex::Counters;

// What place i of n gets of a total that is shared out evenly.
int64_t share(int64_t total, int64_t i, int64_t n) { return total * (i + 1) / n - total * i / n; }

}  // namespace

ReplayMerge::ReplayMerge(const ReplayDeck& deck, int64_t capacity, int64_t store, int64_t stores, Owner owner)
    : deck_(deck),
      capacity_(capacity),
      store_(store),
      stores_(stores),
      owner_(std::move(owner)),
      owned_(static_cast<size_t>(stores)) {
  totals_[Counters::newest] = -1;
}

std::vector<size_t> ReplayMerge::add(const ReplayIndex::Snapshot& old) {
  const std::vector<int64_t>& c = old.counters;
  constexpr size_t fixed = Counters::count;
  old.check_counters();
  for (const auto place : {Counters::inserted, Counters::drawn, Counters::refused, Counters::evicted})
    totals_[place] += c[place];
  for (const auto place : {Counters::draws, Counters::newest, Counters::step, Counters::demand})
    totals_[place] = std::max(totals_[place], c[place]);
  auto query = c.begin() + fixed + 2;
  for (size_t epoch = 0; epoch < pending_.size(); ++epoch) {
    pending_[epoch].insert(pending_[epoch].end(), query, query + c[fixed + epoch]);
    query += c[fixed + epoch];
  }
  std::vector<size_t> belongs;
  for (size_t i = 0; i < old.entries.size(); ++i) {
    const int64_t owner = owner_(old.entries[i].query, old.entries[i].id);
    ++owned_[static_cast<size_t>(owner)];
    if (owner != store_) continue;
    kept_.push_back({old.entries[i], old_stores_, kept_.size()});
    belongs.push_back(i);
  }
  ++old_stores_;
  return belongs;
}

ReplayMerge::Result ReplayMerge::finish() {
  std::ranges::sort(kept_, {}, [](const Kept& k) { return std::tuple(k.entry.version, k.old_store, k.entry.ticket); });
  leave_out_the_worst();
  Result result;
  for (const Kept& kept : kept_) {
    const auto place = static_cast<int64_t>(result.index.entries.size());
    result.index.entries.push_back(kept.entry);
    result.index.entries.back().slot = place;
    result.index.entries.back().ticket = static_cast<uint64_t>(place);
    result.source.push_back(kept.source);
  }
  result.index.counters = counters();
  add_pending(result.index);
  result.left_out = left_out_;
  return result;
}

// By the rank of ReplayIndex, whose tickets are the places in kept_ from here on.
void ReplayMerge::leave_out_the_worst() {
  std::vector<size_t> best_first(kept_.size());
  for (size_t i = 0; i < kept_.size(); ++i) best_first[i] = i;
  const bool by_reward = deck_.keep == "highest_reward";
  std::ranges::sort(best_first, std::ranges::greater(), [&](size_t i) {
    return std::tuple(by_reward ? kept_[i].entry.log_reward : 0, kept_[i].entry.version, i);
  });
  std::vector<char> stays(kept_.size());
  std::unordered_map<int64_t, int64_t> of_query;
  int64_t records = 0;
  for (const size_t i : best_first) {
    int64_t& mates = of_query[kept_[i].entry.query];
    if (records == capacity_ || (deck_.capacity_per_query > 0 && mates == deck_.capacity_per_query)) continue;
    stays[i] = 1;
    ++mates;
    ++records;
  }
  left_out_ = static_cast<int64_t>(kept_.size()) - records;
  size_t i = 0;
  std::erase_if(kept_, [&](const Kept&) { return stays[i++] == 0; });
}

std::vector<int64_t> ReplayMerge::counters() const {
  int64_t arrived = 0, before = 0, mine = 0;  // over all stores, in those before this one, in this one
  for (int64_t s = 0; s < stores_; ++s) {
    const int64_t here = owned_[static_cast<size_t>(s)] + share(totals_[Counters::evicted], s, stores_) +
                         share(totals_[Counters::refused], s, stores_);
    arrived += here;
    if (s < store_) before += here;
    if (s == store_) mine = here;
  }
  const auto draws_until = [&](int64_t count) {
    if (count == arrived) return totals_[Counters::drawn];  // exactly
    return static_cast<int64_t>(static_cast<long double>(totals_[Counters::drawn]) * static_cast<long double>(count) /
                                static_cast<long double>(arrived));
  };
  const int64_t evicted = share(totals_[Counters::evicted], store_, stores_);
  std::vector<int64_t> c(totals_.begin(), totals_.end());
  c[Counters::next_ticket] = static_cast<int64_t>(kept_.size());
  c[Counters::inserted] = owned_[static_cast<size_t>(store_)] + evicted;
  c[Counters::evicted] = evicted + left_out_;
  c[Counters::refused] = share(totals_[Counters::refused], store_, stores_);
  c[Counters::drawn] = draws_until(before + mine) - draws_until(before);
  return c;
}

// The queries that are still to come in an epoch, as far as there is a record of them here.
void ReplayMerge::add_pending(ReplayIndex::Snapshot& index) const {
  std::unordered_set<int64_t> here;
  for (const Kept& kept : kept_) here.insert(kept.entry.query);
  std::array<std::vector<int64_t>, 2> left;
  for (size_t epoch = 0; epoch < pending_.size(); ++epoch) {
    std::unordered_set<int64_t> seen;
    for (const int64_t query : pending_[epoch]) {
      if (here.contains(query) && seen.insert(query).second) left[epoch].push_back(query);
    }
  }
  for (const auto& queries : left) index.counters.push_back(static_cast<int64_t>(queries.size()));
  for (const auto& queries : left) index.counters.insert(index.counters.end(), queries.begin(), queries.end());
}

}  // namespace tightrope
