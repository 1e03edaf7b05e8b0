// Scoring: the states of a batch are walked again on the host, the distinct ones go through the network once, and
// every transition picks its log-probs from that table.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/base/check.hpp"
#include "tightrope/tasks/environment_columns.hpp"

namespace tightrope {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// Where transition (b,t) finds its numbers: element row * width + action of a table; 0 beyond the length.
struct Places {
  Places(int64_t batch, int64_t steps)
      : index(at::zeros({batch * steps}, at::kLong)), shape{batch, steps}, at(index.mutable_data_ptr<int64_t>()) {}

  // (B,T) of what the table (N,W) holds there, zero where `inside` is zero.
  Tensor pick(const Tensor& table, const Tensor& inside) const {
    const Tensor picked = table.reshape({-1}).index_select(0, index.to(table.device()));
    return at::where(inside, picked.view(shape), at::zeros({}, picked.options()));
  }

  Tensor index;  // (B*T) int64
  std::vector<int64_t> shape;
  int64_t* at;
};

struct Walked {
  Walked(const Environment::Sizes& sizes, int64_t batch, int64_t steps)
      : rows(sizes.state), forward(batch, steps), backward(batch, steps), flow(batch, steps + 1) {}
  StateRows rows;
  Places forward, backward, flow;
  std::vector<float> uniform_ref;  // (B,T) log of uniform P_B; filled where asked
};

Tensor inside_mask(const Tensor& length, int64_t steps) {
  return at::arange(steps, length.options()).unsqueeze(0) < length.unsqueeze(1);
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
      walked.forward.at[place] = row * sizes.actions + action;
      walked.flow.at[b * (steps + 1) + t] = row;
      int32_t backward = 0;
      if (children) environment.backward_of(state, {&action, 1}, {&backward, 1});
      environment.step(state, {&action, 1});
      if (uniform) {
        environment.backward_mask(state, parents);
        walked.uniform_ref[static_cast<size_t>(place)] = -std::log(static_cast<float>(std::ranges::count(parents, 1)));
      }
      if (t + 1 == length[b] && !children) break;
      row = walked.rows.add(state);
      walked.backward.at[place] = row * sizes.backward_actions + backward;
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

Tensor EnvironmentTask::additive_mask(std::span<const int32_t> states, bool forward) const {
  const int64_t rows = static_cast<int64_t>(states.size()) / sizes_.state;
  const int64_t width = forward ? sizes_.actions : sizes_.backward_actions;
  std::vector<uint8_t> valid(static_cast<size_t>(rows * width));
  forward ? environment_->forward_mask(states, valid) : environment_->backward_mask(states, valid);
  Tensor mask = at::empty({rows, width}, at::kFloat);
  std::ranges::transform(valid, mask.mutable_data_ptr<float>(), [](uint8_t v) { return v ? 0.0F : kNever; });
  return mask;
}

namespace {

// log-softmax over the valid; rows without a valid action (ends) become zero so that no NaN enters the graph.
Tensor masked_log_softmax(const Tensor& logits, const Tensor& mask) {
  const Tensor dead = mask.amax(1, /*keepdim=*/true).isinf();
  return at::log_softmax(logits + at::where(dead, at::zeros({}, mask.options()), mask), 1);
}

}  // namespace

Scores EnvironmentTask::score(Policy& policy, const Batch& batch) const {
  const Columns columns = this->columns(policy);
  const bool learned = columns.backward >= 0, flows = columns.flow >= 0;
  const Walked walked = walk_batch(*environment_, batch, learned, !learned && flows);
  const int64_t steps = batch.actions.size(1);
  const Tensor inside = inside_mask(batch.length, steps);
  const Tensor heads = columns.net.heads({observe(walked.rows.states())});
  const auto log_probs = [&](int64_t column, int64_t width, bool forward) {
    return masked_log_softmax(heads.narrow(1, column, width), additive_mask(walked.rows.states(), forward));
  };
  Scores scores;
  scores.log_pf = walked.forward.pick(log_probs(columns.forward, sizes_.actions, true), inside);
  if (learned)
    scores.log_ref = walked.backward.pick(log_probs(columns.backward, sizes_.backward_actions, false), inside);
  else if (flows)
    scores.log_ref = at::tensor(walked.uniform_ref).view({batch.size(), steps});
  if (flows) scores.log_flow = walked.flow.pick(heads.narrow(1, columns.flow, 1), inside_mask(batch.length, steps + 1));
  const auto& groups = policy.parameters.groups();
  if (groups.back().name == "log_z") scores.log_z = policy.parameters.at("log_z").index_select(0, batch.query);
  return scores;
}

EnvironmentTask::Densities EnvironmentTask::densities(Policy& policy, std::span<const int32_t> states) const {
  const at::NoGradGuard no_grad;
  const Columns columns = this->columns(policy);
  const Tensor heads = columns.net.heads({observe(states)}).to(at::kDouble);
  const auto log_probs = [&](const Tensor& logits, bool forward) {
    const Tensor mask = additive_mask(states, forward);
    return masked_log_softmax(logits, mask) + mask;
  };
  const Tensor backward = columns.backward >= 0 ? heads.narrow(1, columns.backward, sizes_.backward_actions)
                                                : at::zeros({heads.size(0), sizes_.backward_actions}, at::kDouble);
  return {log_probs(heads.narrow(1, columns.forward, sizes_.actions), true), log_probs(backward, false)};
}

}  // namespace tightrope
