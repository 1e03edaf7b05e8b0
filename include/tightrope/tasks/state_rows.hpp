#pragma once
// StateRows: the distinct states of a batch.  Trajectories of one batch share states (all share the source), and a
// network need not see a state twice: rows are evaluated once and read many times.
#include <cstdint>
#include <span>
#include <vector>

namespace tightrope {

class StateRows {
 public:
  explicit StateRows(int64_t state_size) : width_(static_cast<size_t>(state_size)) {}

  void clear();
  // The row of an equal state that is there already, or of a new copy.
  int64_t add(std::span<const int32_t> state);

  int64_t size() const { return static_cast<int64_t>(states_.size() / width_); }
  std::span<const int32_t> states() const { return states_; }
  std::span<const int32_t> state(int64_t row) const {
    return std::span(states_).subspan(static_cast<size_t>(row) * width_, width_);
  }
  int64_t find(std::span<const int32_t> state) const;  // -1 where it is not there

 private:
  size_t place(std::span<const int32_t> state, uint64_t hash) const;  // of the state, or of the gap where it goes
  void grow();

  size_t width_;
  std::vector<int32_t> states_;
  std::vector<uint64_t> hashes_;  // of each row
  std::vector<int32_t> table_;    // open addressing, power of two; -1 = empty
};

}  // namespace tightrope
