// Scoring: the states of a batch are walked again on the host, the distinct ones go through the network once, and
// every transition picks its log-probs from that table.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/base/check.hpp"
#include "tightrope/tasks/environment_columns.hpp"
#include "tightrope/tasks/masked_pick.hpp"

namespace tightrope {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Which row of a table transition (b,t) reads, and which action of it: row -1 beyond the length.
struct Places {
  Places(int64_t batch, int64_t steps)
      : row(at::full({batch, steps}, -1, at::kInt)), action(at::zeros({batch, steps}, at::kInt)) {}

  void set(int64_t place, int64_t at_row, int32_t at_action) {
    row.mutable_data_ptr<int32_t>()[place] = static_cast<int32_t>(at_row);
    action.mutable_data_ptr<int32_t>()[place] = at_action;
  }

  Tensor row, action;  // (B,T) int32
};

struct Walked {
  Walked(const Environment::Sizes& sizes, int64_t batch, int64_t steps)
      : rows(sizes.state), forward(batch, steps), backward(batch, steps), flow(batch, steps + 1) {}
  StateRows rows;
  Places forward, backward, flow;
  std::vector<double> uniform_ref;  // (B,T) log of uniform P_B; filled where asked
};

// (B,T+1) of a column (N) of heads, zero beyond the length.
Tensor pick_rows(const Tensor& column, const Tensor& row) {
  const Tensor picked = column.index_select(0, row.clamp_min(0).view({-1}).to(column.device())).view(row.sizes());
  return at::where(row >= 0, picked, at::zeros({}, picked.options()));
}

// `children`: also rows for the states that edges lead to (learned P_B, flows); `uniform`: fill uniform_ref.
Walked walk_batch(const Environment& environment, const Batch& batch, bool children, bool uniform) {
  const auto sizes = environment.sizes();
  const int64_t count = batch.size(), steps = batch.actions.size(1);
  Walked walked(sizes, count, steps);
  if (uniform) walked.uniform_ref.assign(static_cast<size_t>(count * steps), 0);
  const auto* length = batch.length.const_data_ptr<int64_t>();
  const auto* actions = batch.actions.const_data_ptr<int64_t>();
  const auto* query = batch.query.const_data_ptr<int64_t>();
  std::vector<int32_t> state(static_cast<size_t>(sizes.state));
  std::vector<uint8_t> parents(static_cast<size_t>(sizes.backward_actions));
  for (int64_t b = 0; b < count; ++b) {
    environment.reset({query + b, 1}, state);
    int64_t row = walked.rows.add(state);
    for (int64_t t = 0; t < length[b]; ++t) {
      const auto action = static_cast<int32_t>(actions[b * steps + t]);
      const int64_t place = b * steps + t;
      walked.forward.set(place, row, action);
      walked.flow.set(b * (steps + 1) + t, row, 0);
      int32_t backward = 0;
      if (children) environment.backward_of(state, {&action, 1}, {&backward, 1});
      environment.step(state, {&action, 1});
      if (uniform) {
        environment.backward_mask(state, parents);
        walked.uniform_ref[static_cast<size_t>(place)] = -std::log(static_cast<double>(std::ranges::count(parents, 1)));
      }
      if (t + 1 == length[b] && !children) break;
      row = walked.rows.add(state);
      walked.backward.set(place, row, backward);
    }
  }
  return walked;
}

}  // namespace

void follow(const Environment& environment, const Batch& batch, std::span<int32_t> states) {
  const int64_t count = batch.size(), steps = batch.actions.size(1);
  const auto width = static_cast<size_t>(environment.sizes().state);
  environment.reset({batch.query.const_data_ptr<int64_t>(), static_cast<size_t>(count)}, states);
  const auto* length = batch.length.const_data_ptr<int64_t>();
  const auto* actions = batch.actions.const_data_ptr<int64_t>();
  for (int64_t b = 0; b < count; ++b) {
    for (int64_t t = 0; t < length[b]; ++t) {
      const auto action = static_cast<int32_t>(actions[b * steps + t]);
      environment.step(states.subspan(static_cast<size_t>(b) * width, width), {&action, 1});
    }
  }
}

Tensor EnvironmentTask::observe(std::span<const int32_t> states) const {
  const int64_t rows = static_cast<int64_t>(states.size()) / sizes_.state;
  Tensor active = at::empty({rows, sizes_.active}, at::kInt);
  environment_->observe(states, {active.mutable_data_ptr<int32_t>(), static_cast<size_t>(active.numel())});
  return active;
}

Tensor EnvironmentTask::valid(std::span<const int32_t> states, bool forward) const {
  const int64_t rows = static_cast<int64_t>(states.size()) / sizes_.state;
  Tensor mask = at::empty({rows, forward ? sizes_.actions : sizes_.backward_actions}, at::kByte);
  const std::span<uint8_t> out(mask.mutable_data_ptr<uint8_t>(), static_cast<size_t>(mask.numel()));
  forward ? environment_->forward_mask(states, out) : environment_->backward_mask(states, out);
  return mask;
}

Scores EnvironmentTask::score(Policy& policy, const Batch& batch) const {
  const Columns columns = this->columns(policy);
  const bool learned = columns.backward >= 0, flows = columns.flow >= 0;
  const Walked walked = walk_batch(*environment_, batch, learned, !learned && flows);
  const auto states = walked.rows.states();
  const Tensor heads = columns.net.heads({observe(states)});
  Scores scores;
  scores.log_pf =
      masked_log_prob(heads, columns.forward, valid(states, true), walked.forward.row, walked.forward.action);
  if (learned)
    scores.log_ref =
        masked_log_prob(heads, columns.backward, valid(states, false), walked.backward.row, walked.backward.action);
  else if (flows)
    scores.log_ref = at::tensor(walked.uniform_ref).view(batch.actions.sizes());
  if (flows) scores.log_flow = pick_rows(heads.select(1, columns.flow), walked.flow.row);
  if (policy.parameters.groups().back().name == "log_z") {
    const Tensor log_z = policy.parameters.at("log_z").cpu();
    scores.log_z = log_z.size(0) == 1 ? log_z.expand({batch.size()}) : log_z.index_select(0, batch.query);
  }
  return scores;
}

EnvironmentTask::Densities EnvironmentTask::densities(Policy& policy, std::span<const int32_t> states) const {
  const at::NoGradGuard no_grad;
  const Columns columns = this->columns(policy);
  const Tensor heads = columns.net.heads({observe(states)}).to(at::kDouble);
  const auto log_probs = [&](const Tensor& logits, bool forward) {
    const Tensor allowed = valid(states, forward) != 0;
    const Tensor normaliser = at::where(allowed, logits, kNever).logsumexp(1, /*keepdim=*/true);
    return at::where(allowed, logits - normaliser, kNever);
  };
  const Tensor backward = columns.backward >= 0 ? heads.narrow(1, columns.backward, sizes_.backward_actions)
                                                : at::zeros({heads.size(0), sizes_.backward_actions}, at::kDouble);
  return {log_probs(heads.narrow(1, columns.forward, sizes_.actions), true), log_probs(backward, false)};
}

}  // namespace tightrope
