// Sampling forward from the source and backward from objects.  States live on the host, one row per trajectory; the
// network sees only the distinct states of trajectories that are still on their way.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/tasks/environment_columns.hpp"

namespace tightrope {
namespace {

// Probabilities over the valid of `logits` at a temperature, mixed with uniform by epsilon; they sum to 1.
void behaviour(std::span<const float> logits, std::span<const uint8_t> valid, const Exploration& explore,
               std::span<double> probability) {
  float top = -std::numeric_limits<float>::infinity();
  int64_t count = 0;
  for (size_t a = 0; a < logits.size(); ++a) {
    if (!valid[a]) continue;
    top = std::max(top, logits[a]);
    ++count;
  }
  EXPECT(count > 0);
  const auto inverse = static_cast<float>(1 / explore.temperature);
  double total = 0;
  for (size_t a = 0; a < logits.size(); ++a) {
    probability[a] = valid[a] ? std::exp((logits[a] - top) * inverse) : 0.0F;
    total += probability[a];
  }
  const double scale = (1 - explore.epsilon) / total, uniform_share = explore.epsilon / static_cast<double>(count);
  for (size_t a = 0; a < logits.size(); ++a) probability[a] = valid[a] ? probability[a] * scale + uniform_share : 0;
}

// Inverse CDF; the last valid one where rounding leaves a gap.
int32_t choose(std::span<const double> probability, double u) {
  int32_t last = -1;
  for (size_t a = 0; a < probability.size(); ++a) {
    if (probability[a] <= 0) continue;
    last = static_cast<int32_t>(a);
    u -= probability[a];
    if (u < 0) break;
  }
  return last;
}

double log_uniform(std::span<const uint8_t> valid) {
  return -std::log(static_cast<double>(std::count_if(valid.begin(), valid.end(), [](uint8_t v) { return v != 0; })));
}

Tensor integers(int64_t rows) { return at::zeros({rows}, at::kLong); }

// What is common to a walk in either direction.
struct Walk {
  Walk(const Environment& environment_, int64_t count)
      : environment(environment_),
        sizes(environment.sizes()),
        width(static_cast<size_t>(sizes.state)),
        states(static_cast<size_t>(count) * width),
        rows(sizes.state),
        row_of(static_cast<size_t>(count)) {}

  std::span<int32_t> state(int64_t i) { return std::span(states).subspan(static_cast<size_t>(i) * width, width); }

  // Fills rows with the distinct states of the live trajectories.
  void gather(const std::vector<int64_t>& live) {
    rows.clear();
    for (const int64_t i : live) row_of[static_cast<size_t>(i)] = rows.add(state(i));
  }

  const Environment& environment;
  const Environment::Sizes sizes;
  const size_t width;
  std::vector<int32_t> states;
  StateRows rows;
  std::vector<int64_t> row_of;
};

// One decision distribution per distinct state of a walk.
struct Decisions {
  std::vector<double> probability;  // (N,A)
  std::vector<uint8_t> valid;       // (N,A)
  size_t width;

  std::span<const double> row(int64_t i) const {
    return std::span(probability).subspan(static_cast<size_t>(i) * width, width);
  }
  std::span<const uint8_t> mask(int64_t i) const {
    return std::span(valid).subspan(static_cast<size_t>(i) * width, width);
  }
};

void decide(const Tensor& heads, int64_t column, const Exploration& explore, Decisions& decisions) {
  const Tensor host = heads.cpu();
  const float* const values = host.const_data_ptr<float>();
  decisions.probability.resize(decisions.valid.size());
  for (int64_t i = 0; i < host.size(0); ++i) {
    const auto offset = static_cast<size_t>(i) * decisions.width;
    behaviour({values + i * host.stride(0) + column, decisions.width}, decisions.mask(i), explore,
              std::span(decisions.probability).subspan(offset, decisions.width));
  }
}

Batch empty_batch(const Tensor& query, const Keys& keys, int64_t longest) {
  const int64_t count = query.size(0);
  Batch batch;
  batch.query = query.clone();
  batch.group = integers(count);
  batch.id = integers(count);
  batch.length = integers(count);
  batch.actions = at::zeros({count, longest}, at::kLong);
  batch.log_ref = at::zeros({count}, at::kDouble);
  batch.reward = at::zeros({count, 1}, at::kFloat);
  batch.version = at::zeros({count, 3}, at::kLong);
  batch.finish = at::zeros({count}, at::kChar);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    batch.id.mutable_data_ptr<int64_t>()[i] = sample_id(query.const_data_ptr<int64_t>()[i], keys.visit[at], keys.k[at]);
  }
  return batch;
}

std::vector<int64_t> all_rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  return rows;
}

void finish_rewards(Walk& walk, Batch& batch) {
  walk.environment.log_reward(walk.states, {batch.reward.mutable_data_ptr<float>(), static_cast<size_t>(batch.size())});
}

// Drops the trajectories that have arrived; the order of the others stays.
void keep_moving(Walk& walk, std::vector<int64_t>& live) {
  std::erase_if(live, [&](int64_t i) {
    uint8_t is_terminal = 0;
    walk.environment.terminal(walk.state(i), {&is_terminal, 1});
    return is_terminal != 0;
  });
}

}  // namespace

Batch EnvironmentTask::sample(Policy& policy, const Tensor& query, const Exploration& explore, const Keys& keys) const {
  const at::NoGradGuard no_grad;
  const int64_t count = query.size(0);
  const Columns columns = this->columns(policy);
  Walk walk(*environment_, count);
  environment_->reset({query.const_data_ptr<int64_t>(), static_cast<size_t>(count)}, walk.states);
  Batch batch = empty_batch(query, keys, sizes_.max_length);
  const auto* id = batch.id.const_data_ptr<int64_t>();
  auto* length = batch.length.mutable_data_ptr<int64_t>();
  auto* actions = batch.actions.mutable_data_ptr<int64_t>();
  auto* log_ref = batch.log_ref.mutable_data_ptr<double>();

  std::vector<int64_t> live = all_rows(count);
  std::vector<uint8_t> parents(static_cast<size_t>(sizes_.backward_actions));
  Decisions decisions{{}, {}, static_cast<size_t>(sizes_.actions)};
  for (int64_t t = 0; !live.empty(); ++t) {
    VALIDATE(t < sizes_.max_length, "a trajectory did not end", "after " + std::to_string(t) + " transitions",
             "the environment's max_length must be true: please report it");
    walk.gather(live);
    decisions.valid.resize(static_cast<size_t>(walk.rows.size()) * decisions.width);
    environment_->forward_mask(walk.rows.states(), decisions.valid);
    decide(columns.net.heads({observe(walk.rows.states())}), columns.forward, explore, decisions);
    for (const int64_t i : live) {
      const double u = uniform(keys.seed, Stream::action, static_cast<uint64_t>(id[i]), static_cast<uint32_t>(t));
      const int32_t action = choose(decisions.row(walk.row_of[static_cast<size_t>(i)]), u);
      environment_->step(walk.state(i), {&action, 1});
      environment_->backward_mask(walk.state(i), parents);
      actions[i * sizes_.max_length + t] = action;
      log_ref[i] += columns.backward < 0 ? log_uniform(parents) : 0;
      ++length[i];
    }
    keep_moving(walk, live);
  }
  finish_rewards(walk, batch);
  batch.actions = batch.actions.narrow(1, 0, batch.length.max().item<int64_t>()).contiguous();
  return batch;
}

Batch EnvironmentTask::resample(Policy& policy, const Batch& terminals, const Keys& keys) const {
  const at::NoGradGuard no_grad;
  const int64_t count = terminals.size();
  const Columns columns = this->columns(policy);
  Walk walk(*environment_, count);
  follow(*environment_, terminals, walk.states);
  std::vector<int32_t> source(walk.states.size());
  environment_->reset({terminals.query.const_data_ptr<int64_t>(), static_cast<size_t>(count)}, source);
  Batch batch = empty_batch(terminals.query, keys, sizes_.max_length);
  batch.reward = terminals.reward.clone();
  batch.version = terminals.version.clone();
  const auto* id = batch.id.const_data_ptr<int64_t>();
  auto* length = batch.length.mutable_data_ptr<int64_t>();
  auto* actions = batch.actions.mutable_data_ptr<int64_t>();
  auto* log_ref = batch.log_ref.mutable_data_ptr<double>();

  std::vector<int64_t> live = all_rows(count);
  Decisions decisions{{}, {}, static_cast<size_t>(sizes_.backward_actions)};
  for (uint32_t t = 0; !live.empty(); ++t) {
    walk.gather(live);
    decisions.valid.resize(static_cast<size_t>(walk.rows.size()) * decisions.width);
    environment_->backward_mask(walk.rows.states(), decisions.valid);
    const Tensor logits = columns.backward < 0 ? at::zeros({walk.rows.size(), sizes_.backward_actions})
                                               : columns.net.heads({observe(walk.rows.states())});
    decide(logits, std::max<int64_t>(columns.backward, 0), Exploration{}, decisions);
    for (const int64_t i : live) {
      const int64_t row = walk.row_of[static_cast<size_t>(i)];
      const double u = uniform(keys.seed, Stream::backward, static_cast<uint64_t>(id[i]), t);
      const int32_t backward = choose(decisions.row(row), u);
      int32_t action = 0;
      environment_->forward_of(walk.state(i), {&backward, 1}, {&action, 1});
      environment_->unstep(walk.state(i), {&backward, 1});
      actions[i * sizes_.max_length + length[i]++] = action;
      log_ref[i] += columns.backward < 0 ? log_uniform(decisions.mask(row)) : 0;
    }
    std::erase_if(live, [&](int64_t i) {
      return std::ranges::equal(walk.state(i),
                                std::span(source).subspan(static_cast<size_t>(i) * walk.width, walk.width));
    });
  }
  for (int64_t i = 0; i < count; ++i)
    std::reverse(actions + i * sizes_.max_length, actions + i * sizes_.max_length + length[i]);
  batch.actions = batch.actions.narrow(1, 0, batch.length.max().item<int64_t>()).contiguous();
  return batch;
}

}  // namespace tightrope
