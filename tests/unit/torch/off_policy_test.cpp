// TBA off policy: whatever full-support behaviour the data come from, the loss is smallest at the target.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tightrope/learn/objective.hpp"

namespace tightrope {
namespace {

// Vocabulary 3, length 2, a table as policy; data from a policy that never learns: the fixed point is the target.
void reaches_the_target_from(const std::vector<double>& behaviour) {
  constexpr double beta = 0.5;
  const std::vector<double> reference = {0.5, 0.3, 0.2, 0.1, 0.6, 0.3,
                                         0.2, 0.2, 0.6, 0.4, 0.4, 0.2};  // first, then |first
  const std::vector<double> reward = {1, 0, 0.5, -0.3, 0.8, 0, 0.2, 0.1, -1};
  const Tensor log_ref = at::tensor(reference, at::kDouble).view({4, 3}).log();
  Tensor table = log_ref.clone().requires_grad_(true);
  Batch batch;
  std::vector<int64_t> first, second;
  std::vector<float> rewards;
  for (int64_t x = 0; x < 9; ++x)
    for (double copies = 0; copies < 100 * behaviour[static_cast<size_t>(x)]; ++copies) {
      first.push_back(x / 3);
      second.push_back(x % 3);
      rewards.push_back(static_cast<float>(reward[static_cast<size_t>(x)]));
    }
  const Tensor a = at::tensor(first, at::kLong), b = at::tensor(second, at::kLong);
  batch.id = a;
  batch.group = at::zeros_like(a);
  batch.reward = at::tensor(rewards, at::kFloat).unsqueeze(1);
  const auto log_probs = [&](const Tensor& t) {
    const Tensor p = t.log_softmax(1);
    return at::stack({p.index({at::zeros_like(a), a}), p.index({a + 1, b})}, 1);
  };
  batch.log_ref = log_probs(log_ref).sum(1);
  Scores scores;
  at::set_num_threads(1);
  for (int step = 0; step < 20000; ++step) {
    scores.log_pf = log_probs(table);
    table.mutable_grad() = Tensor();
    const Tensor loss = find_objective("vargrad").evaluate(scores, batch, {.temperature = beta}).loss.mean();
    loss.backward();
    const at::NoGradGuard no_grad;
    table -= 0.2 * table.grad();
    if (loss.item<double>() < 1e-12) break;
  }
  std::vector<double> target(9), model(9);
  const Tensor p = table.detach().softmax(1);
  for (size_t x = 0; x < 9; ++x) {
    target[x] = reference[x / 3] * reference[3 + 3 * (x / 3) + x % 3] * std::exp(reward[x] / beta);
    model[x] = p[0][static_cast<int64_t>(x / 3)].item<double>() *
               p[static_cast<int64_t>(1 + x / 3)][static_cast<int64_t>(x % 3)].item<double>();
  }
  const double z = std::accumulate(target.begin(), target.end(), 0.0);
  double distance = 0;
  for (size_t x = 0; x < 9; ++x) distance += 0.5 * std::abs(model[x] - target[x] / z);
  EXPECT_LT(distance, 1e-4);
}

TEST(Tba, OffPolicyFixedPointIsTheTarget) {
  reaches_the_target_from(std::vector<double>(9, 1.0 / 9));
  reaches_the_target_from({0.3, 0.02, 0.08, 0.2, 0.01, 0.19, 0.05, 0.1, 0.05});
}

}  // namespace
}  // namespace tightrope
