#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <random>
#include <vector>

#include "tightrope/learn/visit.hpp"

namespace tightrope {
namespace {

using Rows = std::vector<int64_t>;

TEST(Visit, RightAndWrongAnswersAreBalanced) {
  const std::vector<double> reward = {0, 1, 0, 1, 1, 0, 1, 1};
  EXPECT_EQ(rows_to_keep(reward, 8, 4, false), (Rows{0, 1, 2, 3}));
  EXPECT_EQ(rows_to_keep(std::vector<double>{0, 0, 0, 0, 0, 1, 0, 0}, 8, 4, false), (Rows{0, 1, 2, 5}));
  EXPECT_EQ(rows_to_keep(std::vector<double>{1, 1, 1, 0, 1, 1}, 6, 4, false), (Rows{0, 1, 2, 3}));
}

TEST(Visit, EachVisitIsItsOwn) {
  const std::vector<double> reward = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2};
  EXPECT_EQ(rows_to_keep(reward, 4, 2, false), (Rows{0, 2, 4, 5, 8, 10}));
  EXPECT_EQ(rows_to_keep(reward, 4, 2, true), (Rows{0, 2, 8, 10}));
  EXPECT_EQ(rows_to_keep(reward, 4, 4, true), (Rows{0, 1, 2, 3, 8, 9, 10, 11}));
}

double variance(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const auto n = static_cast<double>(values.size());
  return squares / n - sum * sum / n / n;
}

TEST(Visit, NoOtherChoiceHasMoreVariance) {
  constexpr int64_t samples = 9;
  std::mt19937 random(3);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<double> reward(samples);
    for (double& value : reward) value = 1e3 + std::uniform_int_distribution(-4, 9)(random) * 0.25;
    for (int64_t kept = 1; kept <= samples; ++kept) {
      const Rows rows = rows_to_keep(reward, samples, kept, false);
      ASSERT_EQ(std::ssize(rows), kept);
      ASSERT_TRUE(std::ranges::adjacent_find(rows, std::greater_equal<>()) == rows.end());
      std::vector<double> chosen;
      for (const int64_t row : rows) chosen.push_back(reward[static_cast<size_t>(row)]);
      double best = 0;
      for (unsigned mask = 0; mask < 1U << samples; ++mask) {
        if (std::popcount(mask) != kept) continue;
        std::vector<double> other;
        for (int64_t i = 0; i < samples; ++i)
          if (mask >> i & 1U) other.push_back(reward[static_cast<size_t>(i)]);
        best = std::max(best, variance(other));
      }
      ASSERT_NEAR(variance(chosen), best, 1e-9) << "trial " << trial << ", " << kept << " kept";
    }
  }
}

}  // namespace
}  // namespace tightrope
