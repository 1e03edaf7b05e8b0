// One token out of one row of logits.
#include "tightrope/policies/token_draw_cpu.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "reference_decoder.hpp"

namespace tightrope {
namespace {

using testing::Row;

std::vector<float> random_logits(size_t count, double scale) {
  std::vector<float> list;
  for (size_t i = 0; i < count; ++i) list.push_back(static_cast<float>(scale * normal(2, Stream::data, i, 0)));
  return list;
}

Row shares(const std::vector<float>& logits, double temperature) {
  return testing::softmax(Row(logits.begin(), logits.end()), temperature);
}

// Middle of the interval of the cumulative distribution that belongs to each token.
TEST(TokenDraw, IsTheInverseOfTheCumulativeDistribution) {
  const auto logits = random_logits(1000, 2);
  const Row p = shares(logits, 0.7);
  double below = 0, entropy = 0;
  for (const double each : p) entropy -= each * std::log(each);
  for (size_t i = 0; i < p.size(); below += p[i++]) {
    if (p[i] < 1e-5) continue;  // about the rounding of the sums of weights, which are float32
    const DrawnToken drawn = draw_token(logits, {.temperature = 0.7}, below + p[i] / 2);
    ASSERT_EQ(drawn.token, static_cast<int64_t>(i));
    ASSERT_NEAR(drawn.log_policy, std::log(p[i]), 2e-6);
    ASSERT_EQ(drawn.log_behaviour, drawn.log_policy);
    ASSERT_NEAR(drawn.entropy, entropy, 2e-6);
  }
}

TEST(TokenDraw, ExplorationIsNoPartOfThePolicy) {
  const auto logits = random_logits(300, 2);
  const Row policy = shares(logits, 0.5), behaviour = shares(logits, 0.5 * 3);
  double below = 0;
  for (size_t i = 0; i < policy.size(); below += behaviour[i++]) {
    const DrawnToken drawn =
        draw_token(logits, {.temperature = 0.5, .explore_temperature = 3}, below + behaviour[i] / 2);
    ASSERT_EQ(drawn.token, static_cast<int64_t>(i));
    ASSERT_NEAR(drawn.log_policy, std::log(policy[i]), 4e-6);
    ASSERT_NEAR(drawn.log_behaviour, std::log(behaviour[i]), 2e-6);
  }
}

TEST(TokenDraw, TopPKeepsTheLeastSetWithItsMass) {
  const auto logits = random_logits(500, 1.5);
  const Row p = shares(logits, 1);
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  for (const double top_p : {1e-9, 0.1, 0.5, 0.9, 0.999}) {
    std::set<size_t> kept;
    double mass = 0;
    for (size_t i = 0; mass < top_p; ++i) mass += p[order[i]], kept.insert(order[i]);
    double below = 0;
    for (const size_t token : kept) {  // in the order of ids
      const DrawnToken drawn = draw_token(logits, {.top_p = top_p}, (below + p[token] / 2) / mass);
      ASSERT_EQ(drawn.token, static_cast<int64_t>(token));
      ASSERT_NEAR(drawn.log_behaviour, std::log(p[token] / mass), 2e-6);
      ASSERT_NEAR(drawn.log_policy, std::log(p[token]), 2e-6);
      below += p[token];
    }
  }
}

TEST(TokenDraw, OfEqualTokensTopPKeepsTheFirst) {
  const std::vector<float> logits(10, 3.0F);
  for (int i = 0; i < 100; ++i) {
    const DrawnToken drawn = draw_token(logits, {.top_p = 0.35}, (i + 0.5) / 100);
    EXPECT_EQ(drawn.token, i / 25);
    EXPECT_NEAR(drawn.log_behaviour, std::log(0.25), 1e-12);
  }
}

TEST(TokenDraw, GreedyTakesTheFirstOfTheLargest) {
  auto logits = random_logits(77, 1);
  logits[50] = logits[76] = 9;
  const DrawnToken drawn = draw_token(logits, {.temperature = 2, .greedy = true}, 0);
  EXPECT_EQ(drawn.token, 50);
  EXPECT_EQ(drawn.log_behaviour, 0);
  EXPECT_NEAR(drawn.log_policy, std::log(shares(logits, 2)[50]), 1e-6);
}

TEST(TokenDraw, TheEndsOfTheUnitIntervalGiveTokensWithAWeight) {
  std::vector<float> logits(700, -1000.0F);  // no weight in float32
  logits[300] = 1;
  logits[400] = 1;
  EXPECT_EQ(draw_token(logits, {}, 1e-300).token, 300);
  EXPECT_EQ(draw_token(logits, {}, std::nextafter(1.0, 0.0)).token, 400);
  EXPECT_EQ(draw_token(logits, {.top_p = 0.9}, std::nextafter(1.0, 0.0)).token, 400);
}

TEST(TokenDraw, WhatIsNoNumberShows) {
  for (const size_t at : {size_t{0}, size_t{13}, size_t{299}}) {
    auto logits = random_logits(300, 1);
    logits[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(std::isfinite(draw_token(logits, {.top_p = 0.5}, 0.3).entropy));
    logits[at] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(std::isfinite(draw_token(logits, {}, 0.3).entropy));
  }
}

}  // namespace
}  // namespace tightrope
