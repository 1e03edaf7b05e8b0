#pragma once
// Environments that only the tests know: what the registered ones do not have yet.
#include <algorithm>

#include "tightrope/core/environment.hpp"

namespace tightrope::conformance {

// Strings of four letters over {0, 1}, written at both ends.  A letter that is prepended or appended may give the
// same string: two edges between the same states, told apart by their ids at either end.
// State: the letters, -1 beyond.  Actions: 0, 1 prepend that letter; 2, 3 append 0 or 1; the first letter is appended.
// Backward: 0 takes the first letter away, 1 the last.
class PrependAppend final : public PerState<PrependAppend> {
 public:
  static constexpr size_t kLetters = 4;
  PrependAppend()
      : PerState({.state = 4, .actions = 4, .backward_actions = 2, .max_length = 4, .features = 8, .active = 4}) {}

  static size_t size(View s) {
    return static_cast<size_t>(std::ranges::count_if(s, [](int32_t c) { return c >= 0; }));
  }
  void start(int64_t, State s) const { std::ranges::fill(s, -1); }
  bool done(View s) const { return size(s) == kLetters; }
  void valid(View s, std::span<uint8_t> mask) const {
    for (size_t a = 0; a < mask.size(); ++a) mask[a] = !done(s) && (a >= 2 || size(s) > 0);
  }
  void valid_backward(View s, std::span<uint8_t> mask) const {
    mask[0] = size(s) > 1;
    mask[1] = size(s) > 0;
  }
  void apply(State s, int32_t action) const {
    const size_t end = size(s);
    if (action < 2)
      std::copy_backward(s.begin(), s.begin() + static_cast<int64_t>(end), s.begin() + static_cast<int64_t>(end) + 1);
    s[action < 2 ? 0 : end] = action % 2;
  }
  void undo(State s, int32_t backward) const {
    const size_t last = size(s) - 1;
    if (backward == 0) std::copy(s.begin() + 1, s.end(), s.begin());
    s[last] = -1;
  }
  int32_t backward_id(View, int32_t action) const { return action / 2; }
  int32_t forward_id(View child, int32_t backward) const {
    return backward == 0 ? child[0] : 2 + child[size(child) - 1];
  }
  void features(View s, std::span<int32_t> active) const {
    for (size_t i = 0; i < kLetters; ++i) active[i] = s[i] < 0 ? -1 : static_cast<int32_t>(2 * i) + s[i];
  }
  double reward(View s) const { return 0.5 * s[0] - 0.25 * s[1] + s[2] * s[3]; }
  int64_t enumerable_states() const override { return 31; }
};

// Climbs to the top by one rung or two: trajectories to one state differ in length, and each query starts on its own
// rung.  State: the rung, the query.  Small, yet a task must not enumerate it: exact sums know one query.
class Ladder final : public PerState<Ladder> {
 public:
  static constexpr int32_t kTop = 6;
  Ladder()
      : PerState({.state = 2,
                  .actions = 2,
                  .backward_actions = 2,
                  .max_length = kTop,
                  .features = kTop + 3,
                  .active = 2,
                  .queries = 2}) {}

  void start(int64_t query, State s) const { std::ranges::fill(s, static_cast<int32_t>(query)); }
  bool done(View s) const { return s[0] == kTop; }
  void valid(View s, std::span<uint8_t> mask) const {
    for (int32_t a = 0; a < 2; ++a) mask[static_cast<size_t>(a)] = s[0] + a + 1 <= kTop;
  }
  void valid_backward(View s, std::span<uint8_t> mask) const {
    for (int32_t a = 0; a < 2; ++a) mask[static_cast<size_t>(a)] = s[0] - a - 1 >= s[1];
  }
  void apply(State s, int32_t action) const { s[0] += action + 1; }
  void undo(State s, int32_t backward) const { s[0] -= backward + 1; }
  void features(View s, std::span<int32_t> active) const {
    active[0] = s[0];
    active[1] = kTop + 1 + s[1];
  }
  double reward(View s) const { return 0.25 + s[1]; }
  int64_t enumerable_states() const override { return kTop + 1; }
};

}  // namespace tightrope::conformance
