// The behaviours of TBA (arXiv 2503.18929) on text tasks, on random decoders small enough to check by hand.
#include "tightrope/tasks/text_task.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tightrope/core/rng.hpp"
#include "tightrope/learn/objective.hpp"
#include "tightrope/tasks/text_problems.hpp"

namespace tightrope {
namespace {

constexpr int64_t kStop = 3;

TokensDeck tokens_deck() {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  TokensDeck deck;
  deck.vocabulary = 7;
  deck.length = 6;
  deck.prompts = 3;
  deck.hidden = 32;
  deck.layers = 1;
  return deck;
}

// Completions of up to six tokens that end at token 3; the reward counts even tokens, an ended text has one more part.
TextTask text_task(TextDeck text = {}) {
  const TokensDeck tokens = tokens_deck();
  text.max_new = tokens.length;
  TextProblem problem = tokens_problem(tokens);
  problem.enumerable = false;
  problem.stop = {kStop};
  problem.parts = {"even", "missing_eos"};
  problem.heldout = problem.train;
  problem.grade = [](const TextProblem::Question&, TextProblem::Tokens said, bool ended) {
    const auto even = std::count_if(said.begin(), said.end(), [](int32_t token) { return token % 2 == 0; });
    return TextProblem::Grade{{static_cast<float>(even) / 4, ended ? 0.0F : -0.5F}, even > 2};
  };
  return {std::move(problem), text, Precision::float32, Precision::float32, EvaluationDeck{}};
}

std::unique_ptr<Policy> policy_of(const Task& task, double noise = 0) {
  auto policy = task.make_policy({});
  policy->initialise(1);
  const at::NoGradGuard no_grad;
  float* value = policy->parameters.flat().mutable_data_ptr<float>();
  for (int64_t i = 0; noise > 0 && i < policy->parameters.size(); ++i)
    value[i] += static_cast<float>(noise * normal(3, Stream::weights, 9, static_cast<uint32_t>(i)));
  policy->parameters.changed();
  return policy;
}

// `groups` visits of the prompts in turn, k completions each; rows of a group follow one another.
Batch sample(const TextTask& task, Policy& policy, int64_t groups, int64_t k, const Exploration& explore = {}) {
  Keys keys{1, {}, {}};
  const Tensor row = at::arange(groups * k, at::kLong);
  for (int64_t i = 0; i < groups * k; ++i) {
    keys.visit.push_back(i / k / task.queries());
    keys.k.push_back(i % k);
  }
  const Tensor group = row.div(k, "floor");
  Batch batch = task.sample(policy, group.remainder(task.queries()), explore, keys);
  batch.group = group;
  task.complete(batch);
  return batch;
}

Tensor gradient(const TextTask& task, Policy& policy, const Batch& batch, double temperature) {
  policy.parameters.zero_gradient();
  const auto result =
      find_objective("vargrad").evaluate(task.score(policy, batch), batch, {.temperature = temperature});
  result.loss.mean().backward();
  return policy.parameters.gradient().clone();
}

double relative(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

TEST(TextTask, AtTheStartTheRatioToTheReferenceIsExactlyZero) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  const Batch batch = sample(task, *policy, 6, 4);
  EXPECT_TRUE(at::equal(task.score(*policy, batch).log_pf.sum(1), batch.log_ref));
}

TEST(TextTask, SamplesEndAtTheStopTokenAndAreGraded) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  const Batch batch = sample(task, *policy, 30, 4);
  int64_t ended = 0;
  for (int64_t b = 0; b < batch.size(); ++b) {
    const int64_t length = batch.length[b].item<int64_t>();
    const Tensor tokens = batch.actions[b].narrow(0, 0, length);
    const bool stops = tokens[length - 1].item<int64_t>() == kStop;
    EXPECT_EQ(tokens.eq(kStop).sum().item<int64_t>(), stops);
    EXPECT_EQ(batch.finish[b].item<int8_t>(), static_cast<int8_t>(stops ? Finish::terminal : Finish::truncated));
    EXPECT_TRUE(stops || length == 6);
    EXPECT_EQ(batch.reward[b][1].item<float>(), stops ? 0.0F : -0.5F);
    ended += stops;
  }
  EXPECT_GT(ended, 0);
  EXPECT_LT(ended, batch.size());
}

TEST(TextTask, OneQuestionAloneIsTheSameAsInABatch) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  const Batch whole = sample(task, *policy, 6, 4);
  Batch alone = task.sample(*policy, at::full({1}, 2, at::kLong), {}, {1, {1}, {3}});
  task.complete(alone);
  const int64_t row = 5 * 4 + 3;  // group 5 is visit 1 of prompt 2
  ASSERT_EQ(alone.length.item<int64_t>(), whole.length[row].item<int64_t>());
  EXPECT_TRUE(at::equal(alone.actions[0], whole.actions[row].narrow(0, 0, alone.length.item<int64_t>())));
  EXPECT_EQ(alone.id.item<int64_t>(), whole.id[row].item<int64_t>());
  EXPECT_NEAR(alone.log_ref.item<double>(), whole.log_ref[row].item<double>(), 1e-5);
}

TEST(TextTask, TokensBeyondTheStopCountForNothingAndEosByASwitch) {
  TextDeck without;
  without.count_eos = false;
  const TextTask with_eos = text_task(), without_eos = text_task(without);
  const auto policy = policy_of(with_eos, 0.1);
  Batch batch = sample(with_eos, *policy, 12, 4);
  const Tensor full = with_eos.score(*policy, batch).log_pf.detach();
  const Tensor beyond = at::arange(6).unsqueeze(0) >= batch.length.unsqueeze(1);
  EXPECT_EQ(full.masked_select(beyond).abs().sum().item<double>(), 0);
  const Tensor stop = (at::arange(6).unsqueeze(0) == batch.length.unsqueeze(1) - 1) &
                      batch.finish.eq(static_cast<int8_t>(Finish::terminal)).unsqueeze(1);
  EXPECT_TRUE(at::equal(without_eos.score(*policy, batch).log_pf, at::where(stop, at::zeros_like(full), full)));
  EXPECT_GT(full.masked_select(stop).abs().min().item<double>(), 0);
  batch.actions = at::where(beyond, 5, batch.actions);
  EXPECT_TRUE(at::equal(with_eos.score(*policy, batch).log_pf, full));
}

TEST(TextTask, TheTemperatureBelongsToBothDensities) {
  TextDeck hot;
  hot.temperature = 2;
  const TextTask task = text_task(hot), cold = text_task();
  const auto policy = policy_of(task);
  const Batch batch = sample(task, *policy, 6, 4);
  EXPECT_TRUE(at::equal(task.score(*policy, batch).log_pf.sum(1), batch.log_ref));
  const Tensor uniform = at::full({}, -std::log(7.0), at::kDouble);
  const auto distance = [&](const TextTask& of) {  // of a token's log-prob from the uniform one
    return (of.score(*policy, batch).log_pf.select(1, 0) - uniform).abs().mean().item<double>();
  };
  EXPECT_LT(distance(task), 0.8 * distance(cold));
}

TEST(TextTask, ExplorationChangesSamplesAndNoScore) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  const Batch plain = sample(task, *policy, 30, 4), narrow = sample(task, *policy, 30, 4, {.top_p = 0.3});
  const Tensor likely = task.score(*policy, narrow).log_pf.select(1, 0);
  EXPECT_GT(likely.mean().item<double>(), task.score(*policy, plain).log_pf.select(1, 0).mean().item<double>());
  EXPECT_TRUE(at::equal(task.score(*policy, narrow).log_pf.sum(1), narrow.log_ref));
}

// The gradient of the loss is REINFORCE's with a mean baseline: -(2 / (B K beta)) sum A grad log pi.
TEST(Tba, GradientIsReinforce) {
  constexpr double beta = 0.25;
  constexpr int64_t K = 4;
  const TextTask task = text_task();
  const auto policy = policy_of(task, 0.1);
  const Batch batch = sample(task, *policy, 6, K);
  const Tensor loss = gradient(task, *policy, batch, beta);
  policy->parameters.zero_gradient();
  const Tensor log_p = task.score(*policy, batch).log_pf.sum(1), ratio = log_p.detach() - batch.log_ref;
  const auto centred = [&](const Tensor& x) {
    const Tensor rows = x.view({-1, K});
    return (rows - rows.mean(1, true)).flatten();
  };
  const Tensor advantage = centred(batch.log_reward()) - beta * centred(ratio);
  (-2 / (static_cast<double>(batch.size()) * beta) * (advantage * log_p).sum()).backward();
  EXPECT_LT(relative(policy->parameters.gradient(), loss), 1e-5);
}

TEST(Tba, ResidualsOfAGroupSumToZeroAndConstantsCancel) {
  const TextTask task = text_task();
  const auto policy = policy_of(task, 0.1);
  Batch batch = sample(task, *policy, 6, 4);
  const auto evaluate = [&] {
    return find_objective("vargrad").evaluate(task.score(*policy, batch), batch, {.temperature = 0.5});
  };
  const auto result = evaluate();
  const Tensor open = task.score(*policy, batch).log_pf.sum(1) - batch.log_ref - batch.log_reward() / 0.5;
  EXPECT_LT((result.log_z + open).view({6, 4}).sum(1).abs().max().item<double>(), 1e-9);
  batch.log_ref = batch.log_ref + 3 * batch.group.to(at::kDouble);
  EXPECT_LT((evaluate().loss - result.loss).abs().max().item<double>(), 1e-6);
}

// Whole groups in any number of passes; the two-pass form where not even one group fits.
TEST(Tba, PartsOfABatchAddUpToTheWhole) {
  const TextTask task = text_task();
  const auto policy = policy_of(task, 0.1);
  const Batch batch = sample(task, *policy, 6, 4);
  const Tensor whole = gradient(task, *policy, batch, 0.5);
  Tensor sum = at::zeros_like(whole);
  for (int64_t group = 0; group < 6; ++group)
    sum += gradient(task, *policy, select(batch, at::arange(4 * group, 4 * group + 4)), 0.5) / 6;
  EXPECT_LT(relative(sum, whole), 1e-5);
  TextDeck narrow;
  narrow.tokens_at_once = 8;
  const TextTask small = text_task(narrow);
  EXPECT_LT(relative(gradient(small, *policy, batch, 0.5), whole), 1e-5);
  EXPECT_LT(small.rows_at_once(batch, 0), 4);
  EXPECT_EQ(task.rows_at_once(batch, 0), batch.size());
}

TEST(Tba, OrderOfRowsIsNoMatter) {
  const TextTask task = text_task();
  const auto policy = policy_of(task, 0.1);
  const Batch batch = sample(task, *policy, 6, 4);
  const Tensor mixed = at::tensor(
      std::vector<int64_t>{7, 0, 23, 4, 1, 16, 9, 2, 20, 5, 12, 3, 18, 6, 11, 8, 22, 10, 14, 13, 17, 15, 21, 19});
  EXPECT_LT(relative(gradient(task, *policy, select(batch, mixed), 0.5), gradient(task, *policy, batch, 0.5)), 1e-5);
}

TEST(Tba, TheSamplerDrawsFromTheScoredDensity) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  constexpr int64_t n = 3000;
  const Batch batch = sample(task, *policy, 3 * n, 1);
  std::vector<double> seen(7, 0), wanted(7, 0);
  for (int64_t i = 0; i < 3 * n; ++i)
    if (batch.query[i].item<int64_t>() == 0) ++seen[static_cast<size_t>(batch.actions[i][0].item<int64_t>())];
  for (int64_t token = 0; token < 7; ++token) {
    Batch one = select(batch, at::zeros({1}, at::kLong));
    one.actions[0][0] = token;
    one.length[0] = 1;
    wanted[static_cast<size_t>(token)] = n * std::exp(task.score(*policy, one).log_pf[0][0].item<double>());
  }
  double chi = 0;
  for (size_t token = 0; token < 7; ++token)
    chi += (seen[token] - wanted[token]) * (seen[token] - wanted[token]) / wanted[token];
  EXPECT_LT(chi, 22.46);  // 99.9 % of chi-square with six degrees of freedom
}

TEST(TextTask, HeldOutEvaluationAddsUpOverSlices) {
  const TextTask task = text_task();
  const auto policy = policy_of(task);
  const Metrics whole = task.evaluate(*policy, {0, 1}, {1, {}, {}});
  Metrics parts;
  for (int64_t i = 0; i < 3; ++i) parts.merge(task.evaluate(*policy, {i, 3}, {1, {}, {}}));
  for (const auto& [name, mean] : whole.means()) {
    EXPECT_NEAR(parts.value(name), mean.value(), 1e-12) << name;
    EXPECT_EQ(parts.means().at(name).count, mean.count) << name;
  }
  EXPECT_EQ(whole.means().at("sampled_accuracy").count, 3);
}

}  // namespace
}  // namespace tightrope
