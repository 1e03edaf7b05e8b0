#include "tightrope/learn/schedule.hpp"

#include <gtest/gtest.h>

namespace tightrope {
namespace {

TEST(Schedule, FollowsTheLineOfGsm8k) {
  const TemperatureSchedule beta{.014, .004, 500, 0};
  EXPECT_DOUBLE_EQ(beta.value(1), .014);
  EXPECT_NEAR(beta.value(250), .00902, 1e-12);
  EXPECT_NEAR(beta.value(499), .00404, 1e-12);
  EXPECT_EQ(beta.value(500), .004);
  EXPECT_EQ(beta.value(700), .004);
}

TEST(Schedule, JumpsAsForTldr) {
  const TemperatureSchedule beta{1, .05, 128, 32};
  EXPECT_EQ(beta.value(1), 1);
  EXPECT_NEAR(beta.value(2), .992578, 5e-7);
  EXPECT_NEAR(beta.value(16), .888672, 5e-7);
  EXPECT_NEAR(beta.value(31), .777344, 5e-7);
  EXPECT_EQ(beta.value(32), .05);
  EXPECT_EQ(beta.value(256), .05);
}

TEST(Schedule, IsConstantWithoutDecay) {
  const TemperatureSchedule beta{.1, .5, 0, 10};
  for (const int64_t update : {1, 9, 10, 1000}) EXPECT_EQ(beta.value(update), .1);
}

TEST(Schedule, StaysAtTheEndWhereTheJumpComesLater) {
  const TemperatureSchedule beta{1, .5, 10, 30};
  EXPECT_DOUBLE_EQ(beta.value(6), .75);
  for (const int64_t update : {11, 29, 30, 31}) EXPECT_EQ(beta.value(update), .5);
}

}  // namespace
}  // namespace tightrope
