#include "tightrope/tasks/state_graph.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

double log_sum_exp(const std::vector<double>& values) {
  const double top = *std::max_element(values.begin(), values.end());
  return top + std::log(std::accumulate(values.begin(), values.end(), 0.0,
                                        [&](double sum, double value) { return sum + std::exp(value - top); }));
}

}  // namespace

StateGraph::StateGraph(const Environment& environment, int64_t most) : rows_(environment.sizes().state) {
  const auto sizes = environment.sizes();
  std::vector<int32_t> state(static_cast<size_t>(sizes.state));
  std::vector<uint8_t> valid(static_cast<size_t>(sizes.actions));
  const int64_t query = 0;
  environment.reset({&query, 1}, state);
  rows_.add(state);
  for (int64_t row = 0; row < rows_.size(); ++row) {
    VALIDATE(rows_.size() <= most, "the environment has too many states to enumerate",
             "more than " + std::to_string(most), "raise evaluation.enumerate_up_to or choose a smaller one");
    const auto here = rows_.state(row);
    const std::vector<int32_t> parent(here.begin(), here.end());
    uint8_t is_terminal = 0;
    environment.terminal(parent, {&is_terminal, 1});
    if (is_terminal) {
      terminals_.push_back(static_cast<int32_t>(row));
      continue;
    }
    environment.forward_mask(parent, valid);
    for (int32_t action = 0; action < sizes.actions; ++action) {
      if (!valid[static_cast<size_t>(action)]) continue;
      state = parent;
      environment.step(state, {&action, 1});
      int32_t backward = 0;
      environment.backward_of(parent, {&action, 1}, {&backward, 1});
      edges_.push_back({static_cast<int32_t>(row), static_cast<int32_t>(rows_.add(state)), action, backward});
    }
  }
  order_edges();
  std::ranges::sort(terminals_, [&](int32_t a, int32_t b) {
    return std::ranges::lexicographical_compare(rows_.state(a), rows_.state(b));
  });
  for (const int32_t terminal : terminals_) {
    float nats = 0;
    environment.log_reward(rows_.state(terminal), {&nats, 1});
    log_rewards_.push_back(nats);
  }
  log_z_ = log_sum_exp(log_rewards_);
}

// Kahn's algorithm: breadth-first order is not enough where paths to one state differ in length.
void StateGraph::order_edges() {
  const auto n = static_cast<size_t>(rows_.size());
  std::vector<int32_t> parents_left(n, 0);
  std::vector<size_t> first(n + 1, 0);  // edges leave in the order of their parents' rows
  for (const Edge& edge : edges_) {
    ++parents_left[static_cast<size_t>(edge.child)];
    ++first[static_cast<size_t>(edge.parent) + 1];
  }
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<int32_t> ready = {0};
  std::vector<Edge> ordered;
  ordered.reserve(edges_.size());
  for (size_t i = 0; i < ready.size(); ++i) {
    const auto row = static_cast<size_t>(ready[i]);
    for (size_t e = first[row]; e < first[row + 1]; ++e) {
      ordered.push_back(edges_[e]);
      if (--parents_left[static_cast<size_t>(edges_[e].child)] == 0) ready.push_back(edges_[e].child);
    }
  }
  VALIDATE(ordered.size() == edges_.size(), "the environment's states form a cycle",
           "some state can be reached from itself", "every action must lead to a state that was not there before");
  edges_ = std::move(ordered);
}

std::vector<double> StateGraph::target() const {
  std::vector<double> probabilities;
  for (const double nats : log_rewards_) probabilities.push_back(std::exp(nats - log_z_));
  return probabilities;
}

StateGraph::Moments StateGraph::moments(const std::vector<double>& log_pf, const std::vector<double>& log_pb) const {
  const auto n = static_cast<size_t>(size());
  // Per state: the probability of reaching it, and E[w; reached], E[w^2; reached], E[edges; reached]
  // with w = sum of (log P_B - log P_F) on the way.
  std::vector<double> mass(n, 0), first(n, 0), second(n, 0), length(n, 0);
  mass[0] = 1;
  for (size_t e = 0; e < edges_.size(); ++e) {
    const auto from = static_cast<size_t>(edges_[e].parent), to = static_cast<size_t>(edges_[e].child);
    const double p = std::exp(log_pf[e]), w = log_pb[e] - log_pf[e];
    if (p == 0) continue;
    mass[to] += p * mass[from];
    first[to] += p * (first[from] + w * mass[from]);
    second[to] += p * (second[from] + 2 * w * first[from] + w * w * mass[from]);
    length[to] += p * (length[from] + mass[from]);
  }
  Moments moments;
  for (size_t i = 0; i < terminals_.size(); ++i) {
    const auto x = static_cast<size_t>(terminals_[i]);
    const double r = log_rewards_[i];
    moments.distribution.push_back(mass[x]);
    moments.elbo += first[x] + r * mass[x];
    moments.second += second[x] + 2 * r * first[x] + r * r * mass[x];
    moments.length += length[x];
  }
  return moments;
}

}  // namespace tightrope
