#include "tightrope/core/rng.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace tightrope {
namespace {

TEST(Rng, IsAPureFunctionOfItsArguments) {
  EXPECT_EQ(uniform(7, Stream::action, 42, 3), uniform(7, Stream::action, 42, 3));
  EXPECT_NE(uniform(7, Stream::action, 42, 3), uniform(8, Stream::action, 42, 3));
  EXPECT_NE(uniform(7, Stream::action, 42, 3), uniform(7, Stream::explore, 42, 3));
  EXPECT_NE(uniform(7, Stream::action, 42, 3), uniform(7, Stream::action, 43, 3));
  EXPECT_NE(uniform(7, Stream::action, 42, 3), uniform(7, Stream::action, 42, 4));
}

TEST(Rng, UniformsFillTheOpenUnitInterval) {
  constexpr int n = 100000;
  double sum = 0, squares = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const double u = uniform(1, Stream::action, 5, i);
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / n, 1.0 / 2, 5e-3);
  EXPECT_NEAR(squares / n, 1.0 / 3, 5e-3);
}

TEST(Rng, NormalsHaveUnitVariance) {
  constexpr int n = 100000;
  double sum = 0, squares = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const double z = normal(1, Stream::weights, 5, i);
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / n, 0.0, 1e-2);
  EXPECT_NEAR(squares / n, 1.0, 2e-2);
}

TEST(Rng, SampleIdsDifferAndAreNotNegative) {
  std::set<int64_t> seen;
  for (int64_t query = 0; query < 20; ++query)
    for (int64_t visit = 0; visit < 20; ++visit)
      for (int64_t k = 0; k < 20; ++k) {
        const int64_t id = sample_id(query, visit, k);
        EXPECT_GE(id, 0);
        seen.insert(id);
      }
  EXPECT_EQ(seen.size(), 8000U);
}

}  // namespace
}  // namespace tightrope
