#include "tightrope/learn/objective.hpp"

#include <vector>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

Tensor wide(const Tensor& tensor) { return tensor.to(at::kDouble); }

// sum_t log p_theta - c log p_ref - log R / temperature: the residual without log Z.  (B) float64
Tensor open_residual(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  const Tensor& stored = scores.log_ref.defined() ? scores.log_ref : batch.log_ref;
  const Tensor log_ref = stored.dim() == 2 ? wide(stored).sum(1) : wide(stored);
  return wide(scores.log_pf).sum(1) - values.ref_coefficient * log_ref - batch.log_reward() / values.temperature;
}

ObjectiveResult trajectory_balance(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  const Tensor log_z = wide(scores.log_z);
  return {(log_z + open_residual(scores, batch, values)).square(), log_z.detach()};
}

// (B) float64: the sum of `values` over each row's group.
Tensor group_sum(const Tensor& values, const Tensor& group) {
  const Tensor zeros = at::zeros({group.max().item<int64_t>() + 1}, values.options());
  return zeros.index_add(0, group, values).index_select(0, group);
}

Tensor group_sizes(const Tensor& values, const Tensor& group) { return group_sum(at::ones_like(values), group); }

ObjectiveResult vargrad(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  const Tensor residual = open_residual(scores, batch, values);
  const Tensor open = residual.detach();
  const Tensor log_z = -group_sum(open, batch.group) / group_sizes(open, batch.group);
  return {(log_z + residual).square(), log_z};
}

// REINFORCE with a leave-one-out baseline: the mean reward of the group's other trajectories is K/(K-1) of the
// group's mean away.  No reference, no ratio; what is stale is taken as it is.
ObjectiveResult leave_one_out(const Scores& scores, const Batch& batch, const ObjectiveValues&) {
  const Tensor reward = batch.log_reward();
  const Tensor size = group_sizes(reward, batch.group);
  const Tensor mean = group_sum(reward, batch.group) / size;
  const Tensor advantage = (reward - mean) * size / (size - 1);
  return {-advantage * wide(scores.log_pf).sum(1), mean};
}

// Residuals of the trajectory up to each state: G(t) = log F(s_t) - sum of the first t edges' (log P_F - c log P_B),
// so that delta_ij = G(i) - G(j), with log F(x) = log R / temperature at the end.  (B,T+1) float64
Tensor potentials(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  const int64_t steps = scores.log_pf.size(1);
  const Tensor edges = wide(scores.log_pf) - values.ref_coefficient * wide(scores.log_ref);
  const Tensor sums = at::cat({at::zeros({batch.size(), 1}, edges.options()), edges.cumsum(1)}, 1);
  const Tensor last = at::arange(steps + 1).unsqueeze(0) == batch.length.unsqueeze(1);
  const Tensor end = (batch.log_reward() / values.temperature).unsqueeze(1);
  return at::where(last, end, wide(scores.log_flow)) - sums;
}

// Weighted mean of delta_ij squared over 0 <= i < j <= n; weight(j - i).  (B)
Tensor subtrajectories(const Tensor& potential, const Tensor& length, const std::vector<double>& weight) {
  const int64_t steps = potential.size(1) - 1;
  Tensor sum = at::zeros({potential.size(0)}, potential.options());
  Tensor total = at::zeros_like(sum);
  for (int64_t gap = 1; gap <= steps; ++gap) {
    const double w = weight[static_cast<size_t>(gap)];
    if (w == 0) continue;
    const Tensor inside = at::arange(gap, steps + 1).unsqueeze(0) <= length.unsqueeze(1);
    const Tensor delta = potential.narrow(1, 0, steps + 1 - gap) - potential.narrow(1, gap, steps + 1 - gap);
    sum = sum + w * at::where(inside, delta, 0.0).square().sum(1);
    total = total + w * wide(inside.sum(1));
  }
  return sum / total;
}

ObjectiveResult flow_balance(const Scores& scores, const Batch& batch, const ObjectiveValues& values,
                             const std::vector<double>& weight) {
  return {subtrajectories(potentials(scores, batch, values), batch.length, weight),
          wide(scores.log_flow.select(1, 0)).detach()};
}

ObjectiveResult detailed_balance(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  std::vector<double> weight(static_cast<size_t>(scores.log_pf.size(1)) + 1, 0.0);
  if (weight.size() > 1) weight[1] = 1;
  return flow_balance(scores, batch, values, weight);
}

ObjectiveResult subtrajectory_balance(const Scores& scores, const Batch& batch, const ObjectiveValues& values) {
  std::vector<double> weight(static_cast<size_t>(scores.log_pf.size(1)) + 1, 1.0);
  for (size_t gap = 1; gap < weight.size(); ++gap) weight[gap] = weight[gap - 1] * values.lambda;
  return flow_balance(scores, batch, values, weight);
}

constexpr Objective kObjectives[] = {
    {"tb", trajectory_balance, {.log_z = true}, "Malkin et al. 2022, arXiv 2201.13259, eq. 14"},
    {"vargrad",
     vargrad,
     {.groups = true},
     "Zhang et al. 2023, arXiv 2302.05446, sec. 3.2; TBA, arXiv 2503.18929, eqs. 4-5"},
    {"rloo",
     leave_one_out,
     {.groups = true},
     "Ahmadian et al. 2024, arXiv 2402.14740, eq. 6; Kool et al. 2019: no reference, for comparison"},
    {"db",
     detailed_balance,
     {.log_flow = true, .log_ref_per_transition = true},
     "Bengio et al. 2023, arXiv 2111.09266, sec. 3.2; Malkin et al. 2022, eq. 11"},
    {"subtb",
     subtrajectory_balance,
     {.log_flow = true, .log_ref_per_transition = true},
     "Madan et al. 2023, arXiv 2209.12782, eq. 11, normalised within a trajectory"},
};

}  // namespace

std::span<const Objective> objectives() { return kObjectives; }

const Objective& find_objective(const std::string& name) {
  std::string known;
  for (const Objective& objective : kObjectives) {
    if (name == objective.name) return objective;
    known += (known.empty() ? "" : ", ") + std::string(objective.name);
  }
  throw Failure("objective.kind = " + name + " is unknown", "known are " + known, "choose one of them");
}

}  // namespace tightrope
