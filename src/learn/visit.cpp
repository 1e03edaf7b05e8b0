#include "tightrope/learn/visit.hpp"

#include <algorithm>
#include <numeric>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

// How many of the highest belong to the `kept` rows of largest variance.  descending: rewards.  The variance is
// compared as kept * sum of squares - square of the sum, of rewards from their middle on, so that little cancels.
int64_t highest_to_keep(std::span<const double> descending, int64_t kept) {
  const auto n = std::ssize(descending);
  const double middle = (descending.front() + descending.back()) / 2;
  std::vector<double> sums(static_cast<size_t>(n) + 1), squares(sums);
  for (int64_t i = 0; i < n; ++i) {
    const double value = descending[i] - middle;
    sums[i + 1] = sums[i] + value;
    squares[i + 1] = squares[i] + value * value;
  }
  const auto spread = [&](int64_t highest) {
    const int64_t from = n - (kept - highest);
    const double sum = sums[highest] + sums[n] - sums[from];
    return static_cast<double>(kept) * (squares[highest] + squares[n] - squares[from]) - sum * sum;
  };
  int64_t best = 0;
  for (int64_t highest = 1; highest <= kept; ++highest)
    if (spread(highest) > spread(best)) best = highest;
  return best;
}

}  // namespace

std::vector<int64_t> rows_to_keep(std::span<const double> reward, int64_t samples, int64_t kept, bool skip_equal) {
  EXPECT(samples > 0 && kept > 0 && kept <= samples && std::ssize(reward) % samples == 0);
  std::vector<int64_t> rows;
  for (int64_t first = 0; first < std::ssize(reward); first += samples) {
    std::vector<int64_t> order(static_cast<size_t>(samples));
    std::iota(order.begin(), order.end(), first);
    std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return reward[a] > reward[b]; });
    if (skip_equal && reward[order.front()] == reward[order.back()]) continue;
    std::vector<double> descending;
    for (const int64_t row : order) descending.push_back(reward[row]);
    const int64_t highest = highest_to_keep(descending, kept);
    // Of the lowest the first ones too: those that equal the last row that is left out come before it.
    std::ranges::stable_sort(order.begin() + highest, order.end(), {}, [&](int64_t row) { return reward[row]; });
    order.resize(static_cast<size_t>(kept));
    std::ranges::sort(order);
    rows.insert(rows.end(), order.begin(), order.end());
  }
  return rows;
}

}  // namespace tightrope
