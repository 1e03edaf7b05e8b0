// Hypergrid: start at the origin of a grid of side H in D dimensions, add one to a coordinate or stop.
//   R(s) = R0 + R1 [every coordinate in the outer half] + R2 [every coordinate in the band]
#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/base/check.hpp"
#include "tightrope/tasks/environments.hpp"

namespace tightrope {

void HypergridDeck::fields(FieldList& f) {
  f.count("dimensions", dimensions, {1, 64}, "coordinates", "D, the number of coordinates");
  f.count("side", side, {2, 4096}, "cells", "H, the number of values of a coordinate");
  f.real("r0", r0, {1e-300, 1e300}, "reward", "reward of every cell");
  f.real("r1", r1, {0, 1e300}, "reward", "added where |2i/(H-1) - 1| > 1/2 in every coordinate i");
  f.real("r2", r2, {0, 1e300}, "reward", "added where 3/5 < |2i/(H-1) - 1| < 4/5 in every coordinate i");
}

namespace {

// State: D coordinates, then 1 where it has stopped.  Action d < D adds one to coordinate d; D stops.
class Hypergrid final : public PerState<Hypergrid> {
 public:
  explicit Hypergrid(const HypergridDeck& deck)
      : PerState({.state = deck.dimensions + 1,
                  .actions = deck.dimensions + 1,
                  .backward_actions = deck.dimensions + 1,
                  .max_length = deck.dimensions * (deck.side - 1) + 1,
                  .features = deck.dimensions * deck.side,
                  .active = deck.dimensions}),
        d_(static_cast<size_t>(deck.dimensions)),
        h_(deck.side),
        log_r_{std::log(deck.r0), std::log(deck.r0 + deck.r1), std::log(deck.r0 + deck.r1 + deck.r2),
               std::log(deck.r0 + deck.r2)} {}

  void start(int64_t, State s) const { std::ranges::fill(s, 0); }
  bool done(View s) const { return s[d_] != 0; }
  void valid(View s, std::span<uint8_t> mask) const {
    for (size_t d = 0; d < d_; ++d) mask[d] = !done(s) && s[d] < h_ - 1;
    mask[d_] = !done(s);
  }
  void valid_backward(View s, std::span<uint8_t> mask) const {
    for (size_t d = 0; d < d_; ++d) mask[d] = !done(s) && s[d] > 0;
    mask[d_] = done(s);
  }
  void apply(State s, int32_t action) const { ++s[static_cast<size_t>(action)]; }
  void undo(State s, int32_t backward) const { --s[static_cast<size_t>(backward)]; }
  void features(View s, std::span<int32_t> active) const {
    for (size_t d = 0; d < d_; ++d) active[d] = static_cast<int32_t>(d) * static_cast<int32_t>(h_) + s[d];
  }
  // Bands in integers: 4|2i-(H-1)| > 2(H-1) is the outer half, 6(H-1) < 10|2i-(H-1)| < 8(H-1) the band; floating
  // point accepts a third band at H = 16.
  double reward(View s) const {
    const int64_t n = h_ - 1;
    bool outer = true, band = true;
    for (size_t d = 0; d < d_; ++d) {
      const int64_t from_centre = std::abs(2 * int64_t{s[d]} - n);
      outer = outer && 4 * from_centre > 2 * n;
      band = band && 10 * from_centre > 6 * n && 10 * from_centre < 8 * n;
    }
    return log_r_[outer ? (band ? 2 : 1) : (band ? 3 : 0)];
  }

  int64_t enumerable_states() const override {
    const double cells = std::pow(static_cast<double>(h_), static_cast<double>(d_));
    return cells < 1e9 ? 2 * std::llround(cells) : 0;  // each cell, and each cell stopped
  }
  std::vector<int64_t> box() const override { return std::vector<int64_t>(d_, h_); }
  int64_t modes() const override { return d_ <= 16 ? int64_t{1} << d_ : 0; }
  // The corner region, where the cell has the full reward.
  int64_t mode_of(View s) const override {
    if (reward(s) < log_r_[2]) return -1;
    int64_t corner = 0;
    for (size_t d = 0; d < d_; ++d) corner = 2 * corner + (2 * s[d] > h_ - 1);
    return corner;
  }

 private:
  size_t d_;
  int64_t h_;
  double log_r_[4];  // plain, outer, outer and band, band alone
};

}  // namespace

std::unique_ptr<const Environment> make_hypergrid(const HypergridDeck& deck) {
  return std::make_unique<Hypergrid>(deck);
}

}  // namespace tightrope
