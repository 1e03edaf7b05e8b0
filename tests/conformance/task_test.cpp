// What every task promises, whatever it samples.
#include <cmath>

#include "fixture.hpp"

namespace tightrope::conformance {
namespace {

using TaskConformance = Conformance;
INSTANTIATE_TEST_SUITE_P(Every, TaskConformance, testing::ValuesIn(variants()), name_of);

void expect_field(const Tensor& field, std::vector<int64_t> shape, at::ScalarType type) {
  EXPECT_EQ(field.sizes().vec(), shape);
  EXPECT_EQ(field.scalar_type(), type);
}

Tensor inside(const Batch& batch, int64_t steps) { return at::arange(steps).unsqueeze(0) < batch.length.unsqueeze(1); }

TEST_P(TaskConformance, SampleFillsEveryFieldOfTheBatch) {
  constexpr int64_t B = 32;
  const Layout layout = task->layout();
  const Batch batch = sample(*task, *policy, B, 1);
  const int64_t T = batch.length.max().item<int64_t>();
  ASSERT_EQ(batch.size(), B);
  for (const Tensor* field : {&batch.query, &batch.group, &batch.id, &batch.length})
    expect_field(*field, {B}, at::kLong);
  expect_field(batch.actions, {B, T}, at::kLong);
  expect_field(batch.log_ref, {B}, at::kDouble);
  expect_field(batch.reward, {B, static_cast<int64_t>(layout.reward_parts.size())}, at::kFloat);
  expect_field(batch.version, {B, 3}, at::kLong);
  expect_field(batch.finish, {B}, at::kChar);
  EXPECT_GE(batch.length.min().item<int64_t>(), 1);
  EXPECT_LE(T, layout.max_length);
  EXPECT_TRUE(batch.reward.isfinite().all().item<bool>());
  EXPECT_TRUE(((batch.actions >= 0) & (batch.actions < layout.action_values)).all().item<bool>());
  EXPECT_TRUE(at::where(inside(batch, T), 0, batch.actions).eq(0).all().item<bool>());
  for (int64_t i = 0; i < B; ++i)
    EXPECT_EQ(batch.id[i].item<int64_t>(), sample_id(batch.query[i].item<int64_t>(), i, 0));
}

TEST_P(TaskConformance, KeysNameSamples) {
  const auto first = records(*task, sample(*task, *policy, 32, 1));
  EXPECT_EQ(first, records(*task, sample(*task, *policy, 32, 1)));
  EXPECT_NE(first, records(*task, sample(*task, *policy, 32, 2)));
  Keys other_k = consecutive(1, 1);
  other_k.k[0] = 1;
  Batch again = task->sample(*policy, at::zeros({1}, at::kLong), {}, other_k);
  task->complete(again);
  EXPECT_NE(first[0], record(*task, again, 0));
}

TEST_P(TaskConformance, RowsDoNotDependOnTheRestOfTheBatch) {
  const Batch whole = sample(*task, *policy, 32, 1);
  const std::vector<int64_t> rows = {17, 2, 30};
  Batch part = task->sample(*policy, whole.query.index_select(0, at::tensor(rows)), {}, {1, rows, {0, 0, 0}});
  task->complete(part);
  const bool to_the_bit = dynamic_cast<const EnvironmentTask*>(task.get()) != nullptr;
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    EXPECT_NEAR(part.log_ref[i].item<double>(), whole.log_ref[row].item<double>(), to_the_bit ? 0 : 1e-5);
    Batch other = select(whole, at::full({1}, row, at::kLong));
    other.log_ref = part.log_ref.narrow(0, i, 1);
    EXPECT_EQ(record(*task, part, i), record(*task, other, 0)) << "row " << i;
  }
}

// Of the objectives, those that the task can serve.
std::vector<Objective> served(const Task& task) {
  const Needs has = task.supplies();
  std::vector<Objective> all;
  for (const Objective& objective : objectives()) {
    const Needs& wants = objective.needs;
    const bool lacks = (wants.log_z && !has.log_z) || (wants.log_flow && !has.log_flow) ||
                       (wants.log_ref_per_transition && !has.log_ref_per_transition) || (wants.groups && !has.groups);
    if (!lacks) all.push_back(objective);
  }
  return all;
}

TEST_P(TaskConformance, ScoresSupplyWhatObjectivesNeed) {
  ASSERT_FALSE(served(*task).empty());
  for (const Objective& objective : served(*task)) {
    SCOPED_TRACE(objective.name);
    const auto own = random_policy(*task, objective.needs);
    const Batch batch = sample(*task, *own, 16, 1);
    const int64_t B = 16, T = batch.actions.size(1);
    const Scores scores = task->score(*own, batch);
    expect_field(scores.log_pf, {B, T}, at::kDouble);
    EXPECT_TRUE((scores.log_pf <= 0).all().item<bool>());
    EXPECT_TRUE(at::where(inside(batch, T), 0, scores.log_pf).eq(0).all().item<bool>());
    ASSERT_TRUE(scores.log_ref.defined() || !objective.needs.log_ref_per_transition);
    if (scores.log_ref.defined()) {
      expect_field(scores.log_ref, {B, T}, at::kDouble);
      EXPECT_TRUE(at::where(inside(batch, T), 0, scores.log_ref).eq(0).all().item<bool>());
    }
    EXPECT_EQ(scores.log_flow.defined(), objective.needs.log_flow);
    if (scores.log_flow.defined()) {
      expect_field(scores.log_flow, {B, T + 1}, at::kFloat);
      EXPECT_TRUE(at::where(inside(batch, T + 1), 0, scores.log_flow).eq(0).all().item<bool>());
    }
    EXPECT_EQ(scores.log_z.defined(), objective.needs.log_z);
    if (scores.log_z.defined()) expect_field(scores.log_z, {B}, at::kFloat);
  }
}

double mean_loss(const Task& task, Policy& policy, const Batch& batch, const Objective& objective) {
  const at::NoGradGuard no_grad;
  return objective.evaluate(task.score(policy, batch), batch, {}).loss.mean().item<double>();
}

// Along the gradient g, the loss grows by |g| per unit.
TEST_P(TaskConformance, GradientsAreTheSlopeOfTheLoss) {
  for (const Objective& objective : served(*task)) {
    SCOPED_TRACE(objective.name);
    const auto own = random_policy(*task, objective.needs);
    Batch batch = sample(*task, *own, 16, 1);
    batch.group = at::arange(16, at::kLong).div(4, "floor");
    batch.reward = batch.reward + 0.1 * at::arange(16, at::kFloat).remainder(5).unsqueeze(1);  // a task may reward none
    const auto result = objective.evaluate(task->score(*own, batch), batch, {});
    expect_field(result.loss, {16}, at::kDouble);
    expect_field(result.log_z, {16}, at::kDouble);
    EXPECT_FALSE(result.log_z.requires_grad());
    result.loss.mean().backward();
    const Tensor gradient = own->parameters.gradient().clone();
    const double norm = gradient.norm().item<double>();
    ASSERT_TRUE(std::isfinite(norm));
    ASSERT_GT(norm, 0);
    constexpr double h = 1e-3;
    const Tensor start = own->parameters.flat().clone();
    own->parameters.flat().copy_(start + h / norm * gradient);
    const double up = mean_loss(*task, *own, batch, objective);
    own->parameters.flat().copy_(start - h / norm * gradient);
    const double down = mean_loss(*task, *own, batch, objective);
    EXPECT_NEAR((up - down) / (2 * h), norm, 0.01 * norm);
  }
}

TEST_P(TaskConformance, RecordsHoldEverything) {
  const Layout layout = task->layout();
  Batch batch = sample(*task, *policy, 32, 1);
  batch.version = at::arange(96, at::kLong).view({32, 3});
  const auto packed = records(*task, batch);
  std::vector<std::span<const std::byte>> views(packed.begin(), packed.end());
  const Batch whole = unpack(layout, views);
  EXPECT_TRUE(at::equal(whole.actions, batch.actions));
  EXPECT_TRUE(at::equal(whole.version, batch.version));
  EXPECT_EQ(records(*task, whole), packed);

  std::vector<Batch> singles;  // each as long as its one trajectory
  for (const auto view : views) singles.push_back(unpack(layout, {&view, 1}));
  const Batch joined = concatenate(singles);
  EXPECT_TRUE(at::equal(joined.actions, batch.actions));
  EXPECT_EQ(records(*task, joined), packed);
  const Tensor reversed = at::arange(31, -1, -1, at::kLong);
  EXPECT_EQ(records(*task, select(select(joined, reversed), reversed)), packed);

  for (size_t i = 0; i < packed.size(); ++i) {
    const RecordHead head = record_head(layout, packed[i]);
    const auto row = static_cast<int64_t>(i);
    EXPECT_EQ(head.query, batch.query[row].item<int64_t>());
    EXPECT_EQ(head.id, batch.id[row].item<int64_t>());
    EXPECT_EQ(head.version, 3 * row);
    EXPECT_EQ(head.length, batch.length[row].item<int64_t>());
    EXPECT_EQ(head.log_reward, batch.log_reward()[row].item<double>());
    EXPECT_EQ(packed[i].size() % 8, 0U);
    EXPECT_LE(static_cast<int64_t>(packed[i].size()), layout.max_record_bytes());
    for (size_t j = 0; j < i; ++j) {
      const bool same = at::equal(batch.actions[row], batch.actions[static_cast<int64_t>(j)]) &&
                        at::equal(batch.length[row], batch.length[static_cast<int64_t>(j)]) &&
                        at::equal(batch.query[row], batch.query[static_cast<int64_t>(j)]);
      EXPECT_EQ(head.content == record_head(layout, packed[j]).content, same);
    }
  }
}

TEST_P(TaskConformance, EvaluationSlicesAddUpToTheWhole) {
  for (const int64_t enumerate_up_to : {int64_t{0}, int64_t{400000}}) {
    EvaluationDeck evaluation;
    evaluation.samples = 50;
    evaluation.enumerate_up_to = enumerate_up_to;
    const auto own = GetParam().make(evaluation);
    const Keys keys{3, {}, {}};
    const Metrics whole = own->evaluate(*policy, {0, 1}, keys);
    Metrics merged;
    for (int64_t i = 0; i < 3; ++i) merged.merge(Metrics::unpack(own->evaluate(*policy, {i, 3}, keys).pack()));
    ASSERT_EQ(merged.means().size(), whole.means().size());
    EXPECT_TRUE(whole.has("elbo") || whole.has("sampled_accuracy"));
    for (const auto& [name, mean] : whole.means()) {
      EXPECT_EQ(merged.means().at(name).count, mean.count) << name;
      EXPECT_NEAR(merged.value(name), mean.value(), 1e-5 * (1 + std::abs(mean.value()))) << name;
    }
    EXPECT_EQ(merged.vectors(), whole.vectors());
  }
}

}  // namespace
}  // namespace tightrope::conformance
