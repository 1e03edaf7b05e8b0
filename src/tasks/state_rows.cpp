#include "tightrope/tasks/state_rows.hpp"

#include <xxhash.h>

#include <algorithm>

namespace tightrope {

void StateRows::clear() {
  states_.clear();
  hashes_.clear();
  std::fill(table_.begin(), table_.end(), -1);
}

size_t StateRows::place(std::span<const int32_t> state, uint64_t hash) const {
  const size_t mask = table_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const int32_t row = table_[at];
    if (row < 0) return at;
    if (hashes_[static_cast<size_t>(row)] == hash && std::ranges::equal(this->state(row), state)) return at;
  }
}

int64_t StateRows::add(std::span<const int32_t> state) {
  if (2 * (hashes_.size() + 1) > table_.size()) grow();
  const uint64_t hash = XXH3_64bits(state.data(), state.size_bytes());
  int32_t& entry = table_[place(state, hash)];
  if (entry < 0) {
    entry = static_cast<int32_t>(hashes_.size());
    hashes_.push_back(hash);
    states_.insert(states_.end(), state.begin(), state.end());
  }
  return entry;
}

int64_t StateRows::find(std::span<const int32_t> state) const {
  if (table_.empty()) return -1;
  return table_[place(state, XXH3_64bits(state.data(), state.size_bytes()))];
}

void StateRows::grow() {
  table_.assign(std::max<size_t>(64, 2 * table_.size()), -1);
  const size_t mask = table_.size() - 1;
  for (size_t row = 0; row < hashes_.size(); ++row) {
    size_t at = hashes_[row] & mask;
    while (table_[at] >= 0) at = (at + 1) & mask;
    table_[at] = static_cast<int32_t>(row);
  }
}

}  // namespace tightrope
