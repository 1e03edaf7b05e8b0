#include "tightrope/tasks/environment_task.hpp"

#include <algorithm>
#include <cmath>

#include "tightrope/base/check.hpp"
#include "tightrope/tasks/environment_columns.hpp"

namespace tightrope {

EnvironmentTask::EnvironmentTask(std::unique_ptr<const Environment> environment, const MlpDeck& network,
                                 const EvaluationDeck& evaluation)
    : environment_(std::move(environment)), sizes_(environment_->sizes()), network_(network), evaluation_(evaluation) {
  const int64_t states = environment_->enumerable_states();
  const bool one_query = sizes_.queries == 1;  // the graph holds what query 0 reaches
  if (one_query && states > 0 && states <= evaluation_.enumerate_up_to)
    graph_ = std::make_unique<StateGraph>(*environment_, evaluation_.enumerate_up_to);
}

Layout EnvironmentTask::layout() const {
  Layout layout;
  layout.max_length = sizes_.max_length;
  layout.action_values = sizes_.actions;
  return layout;
}

std::unique_ptr<Policy> EnvironmentTask::make_policy(const Needs& needs) const {
  MlpShape shape;
  shape.features = sizes_.features;
  shape.width = network_.width;
  shape.layers = network_.layers;
  shape.outputs = sizes_.actions + (network_.backward == "learned" ? sizes_.backward_actions : 0) + needs.log_flow;
  shape.log_z = needs.log_z ? sizes_.queries : 0;
  shape.log_z_start = network_.log_z_start;
  return std::make_unique<MlpPolicy>(shape);
}

EnvironmentTask::Columns EnvironmentTask::columns(Policy& policy) const {
  auto& net = dynamic_cast<StatePolicy&>(policy);
  const bool learned = network_.backward == "learned";
  const int64_t used = sizes_.actions + (learned ? sizes_.backward_actions : 0);
  const std::string last_bias = "layer" + std::to_string(network_.layers) + ".bias";
  const bool flow = net.parameters.at(last_bias).size(0) > used;
  return {net, 0, learned ? sizes_.actions : -1, flow ? used : -1};
}

Metrics EnvironmentTask::evaluate(Policy& policy, Slice slice, const Keys& keys) const {
  if (!graph_) return evaluate_by_samples(policy, slice, keys);
  return slice.index == 0 ? evaluate_exactly(policy) : Metrics{};
}

Metrics EnvironmentTask::exact() const {
  Metrics exact;
  if (!graph_) return exact;
  exact.add("log_z", graph_->log_z());
  exact.add_vector("target", graph_->target());
  const auto box = environment_->box();
  if (!box.empty()) exact.add_vector("shape", std::vector<double>(box.begin(), box.end()));
  if (environment_->modes() > 0) {
    std::vector<double> mode;
    for (const int32_t x : graph_->terminals())
      mode.push_back(static_cast<double>(environment_->mode_of(graph_->rows().state(x))));
    exact.add_vector("mode", mode);
  }
  return exact;
}

// The policy's own log Z where it has one, else what the ELBO says.
static double learned_log_z(Policy& policy, double otherwise) {
  if (policy.parameters.groups().back().name != "log_z") return otherwise;
  return policy.parameters.at("log_z").detach().mean().item<double>();
}

Metrics EnvironmentTask::evaluate_exactly(Policy& policy) const {
  constexpr int64_t kChunk = 4096;  // states per forward pass
  const auto& edges = graph_->edges();
  std::vector<Tensor> forward, backward;
  for (int64_t first = 0; first < graph_->size(); first += kChunk) {
    const int64_t count = std::min(kChunk, graph_->size() - first);
    const Densities part = densities(policy, graph_->states().subspan(static_cast<size_t>(first * sizes_.state),
                                                                      static_cast<size_t>(count * sizes_.state)));
    forward.push_back(part.forward);
    backward.push_back(part.backward);
  }
  const Tensor pf = at::cat(forward), pb = at::cat(backward);
  std::vector<double> log_pf, log_pb;
  for (const auto& edge : edges) {
    log_pf.push_back(pf.const_data_ptr<double>()[edge.parent * sizes_.actions + edge.action]);
    log_pb.push_back(pb.const_data_ptr<double>()[edge.child * sizes_.backward_actions + edge.backward]);
  }
  const auto moments = graph_->moments(log_pf, log_pb);
  const std::vector<double> target = graph_->target();
  double distance = 0, divergence = 0, reward = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    const double p = moments.distribution[i];
    distance += 0.5 * std::abs(p - target[i]);
    if (p > 0) divergence += p * (std::log(p) - std::log(target[i]));
    reward += p * graph_->log_rewards()[i];
  }
  Metrics metrics;
  metrics.add("tv", distance);
  metrics.add("kl", divergence);
  metrics.add("elbo", moments.elbo);
  metrics.add("residual_second_moment", moments.second);
  metrics.add("log_z", learned_log_z(policy, moments.elbo));
  metrics.add("log_reward", reward);
  metrics.add("mean_length", moments.length);
  metrics.add_vector("distribution", moments.distribution);
  return metrics;
}

Metrics EnvironmentTask::evaluate_by_samples(Policy& policy, Slice slice, const Keys& keys) const {
  const at::NoGradGuard no_grad;
  const int64_t first = evaluation_.samples * slice.index / slice.count;
  const int64_t count = evaluation_.samples * (slice.index + 1) / slice.count - first;
  Metrics metrics;
  if (count == 0) return metrics;
  Keys own{keys.seed, std::vector<int64_t>(static_cast<size_t>(count)),
           std::vector<int64_t>(static_cast<size_t>(count), 0)};
  Tensor query = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    query.mutable_data_ptr<int64_t>()[i] = (first + i) % sizes_.queries;
    own.visit[static_cast<size_t>(i)] = -1 - first - i;  // never a training visit
  }
  const Batch batch = sample(policy, query, Exploration{}, own);
  const Scores scores = score(policy, batch);
  const Tensor log_ref = scores.log_ref.defined() ? scores.log_ref.to(at::kDouble).sum(1) : batch.log_ref;
  const Tensor bound = batch.log_reward() + log_ref - scores.log_pf.to(at::kDouble).sum(1);
  const double n = static_cast<double>(count), elbo = bound.mean().item<double>();
  metrics.add("elbo", elbo, n);
  metrics.add("log_z", learned_log_z(policy, elbo), n);
  metrics.add("log_reward", batch.log_reward().mean().item<double>(), n);
  metrics.add("mean_length", batch.length.to(at::kDouble).mean().item<double>(), n);
  metrics.add("residual_second_moment", bound.square().mean().item<double>(), n);
  if (environment_->modes() > 0) {
    std::vector<int32_t> states(static_cast<size_t>(count * sizes_.state));
    follow(*environment_, batch, states);
    std::vector<double> hits(static_cast<size_t>(environment_->modes()), 0);
    for (int64_t i = 0; i < count; ++i) {
      const auto width = static_cast<size_t>(sizes_.state);
      const int64_t mode = environment_->mode_of(std::span(states).subspan(static_cast<size_t>(i) * width, width));
      if (mode >= 0) ++hits[static_cast<size_t>(mode)];
    }
    metrics.add_vector("mode_hits", hits);
  }
  return metrics;
}

}  // namespace tightrope
