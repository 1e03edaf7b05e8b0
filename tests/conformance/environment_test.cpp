// What every environment promises, and that sampling, scoring and backward sampling follow its densities.
#include <cmath>
#include <limits>

#include "fixture.hpp"

namespace tightrope::conformance {
namespace {

using Row = std::vector<int32_t>;

std::vector<Variant> environment_variants() {
  std::vector<Variant> all;
  for (const Variant& variant : variants())
    if (dynamic_cast<const EnvironmentTask*>(variant.make({}).get())) all.push_back(variant);
  return all;
}

class EnvironmentConformance : public Conformance {
 protected:
  EnvironmentConformance()
      : own(dynamic_cast<const EnvironmentTask&>(*task)), environment(own.environment()), sizes(environment.sizes()) {}

  std::vector<bool> mask(const Row& state, bool forward) const {
    std::vector<uint8_t> valid(static_cast<size_t>(forward ? sizes.actions : sizes.backward_actions), 7);
    forward ? environment.forward_mask(state, valid) : environment.backward_mask(state, valid);
    return {valid.begin(), valid.end()};
  }
  bool terminal(const Row& state) const {
    uint8_t is = 7;
    environment.terminal(state, {&is, 1});
    return is != 0;
  }
  Row stepped(Row state, int32_t action) const {
    environment.step(state, {&action, 1});
    return state;
  }
  Row unstepped(Row state, int32_t backward) const {
    environment.unstep(state, {&backward, 1});
    return state;
  }
  int32_t backward_of(const Row& parent, int32_t action) const {
    int32_t backward = -1;
    environment.backward_of(parent, {&action, 1}, {&backward, 1});
    return backward;
  }
  int32_t forward_of(const Row& child, int32_t backward) const {
    int32_t action = -1;
    environment.forward_of(child, {&backward, 1}, {&action, 1});
    return action;
  }

  // The states of a trajectory, its source first.
  std::vector<Row> states(const Batch& batch, int64_t row) const {
    std::vector<Row> path(1, Row(static_cast<size_t>(sizes.state)));
    const int64_t query = batch.query[row].item<int64_t>();
    environment.reset({&query, 1}, path.back());
    for (int64_t t = 0; t < batch.length[row].item<int64_t>(); ++t)
      path.push_back(stepped(path.back(), batch.actions[row][t].item<int32_t>()));
    return path;
  }

  const EnvironmentTask& own;
  const Environment& environment;
  const Environment::Sizes sizes;
};

Row flat(const std::vector<Row>& rows) {
  Row all;
  for (const Row& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

INSTANTIATE_TEST_SUITE_P(Every, EnvironmentConformance, testing::ValuesIn(environment_variants()), name_of);

TEST_P(EnvironmentConformance, EdgesHaveOneIdAtEitherEnd) {
  const Batch batch = sample(*task, *policy, 16, 1, {1, 1});
  for (int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<Row> path = states(batch, i);
    for (const Row& state : path) {
      const auto forward = mask(state, true), backward = mask(state, false);
      const bool ends = &state == &path.back(), starts = &state == &path.front();
      ASSERT_EQ(terminal(state), ends);
      ASSERT_EQ(std::ranges::count(forward, true) == 0, ends) << "an end has no action, every other state has one";
      ASSERT_EQ(std::ranges::count(backward, true) == 0, starts) << "only the source has no parent";
      std::map<std::pair<Row, int32_t>, int> seen;
      for (int32_t a = 0; a < sizes.actions; ++a) {
        if (!forward[static_cast<size_t>(a)]) continue;
        const Row child = stepped(state, a);
        const int32_t back = backward_of(state, a);
        ASSERT_NE(child, state);
        ASSERT_EQ(++seen[std::pair(child, back)], 1) << "two actions are one edge";
        ASSERT_TRUE(mask(child, false).at(static_cast<size_t>(back)));
        ASSERT_EQ(unstepped(child, back), state);
        ASSERT_EQ(forward_of(child, back), a);
      }
      for (int32_t b = 0; b < sizes.backward_actions; ++b) {
        if (!backward[static_cast<size_t>(b)]) continue;
        const Row parent = unstepped(state, b);
        const int32_t action = forward_of(state, b);
        ASSERT_TRUE(mask(parent, true).at(static_cast<size_t>(action)));
        ASSERT_EQ(stepped(parent, action), state);
        ASSERT_EQ(backward_of(parent, action), b);
      }
    }
  }
}

TEST_P(EnvironmentConformance, BatchedCallsEqualSingleOnes) {
  const Batch batch = sample(*task, *policy, 4, 1);
  std::vector<Row> rows;
  for (int64_t i = 0; i < batch.size(); ++i)
    for (const Row& row : states(batch, i)) rows.push_back(row);
  const Row all = flat(rows);
  std::vector<uint8_t> forward(rows.size() * static_cast<size_t>(sizes.actions));
  Row active(rows.size() * static_cast<size_t>(sizes.active), -2);
  environment.forward_mask(all, forward);
  environment.observe(all, active);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto one = mask(rows[i], true);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), forward.begin() + static_cast<int64_t>(i) * sizes.actions));
    Row single(static_cast<size_t>(sizes.active), -2);
    environment.observe(rows[i], single);
    EXPECT_TRUE(std::equal(single.begin(), single.end(), active.begin() + static_cast<int64_t>(i) * sizes.active));
    for (const int32_t feature : single) EXPECT_TRUE(feature >= -1 && feature < sizes.features);
  }
}

TEST_P(EnvironmentConformance, ScoresAreTheDensitiesOfTheEdges) {
  const Batch batch = sample(*task, *policy, 16, 1);
  const Scores scores = task->score(*policy, batch);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<Row> path = states(batch, i);
    const auto densities = own.densities(*policy, flat(path));
    double log_ref = 0;
    for (int64_t t = 0; t < batch.length[i].item<int64_t>(); ++t) {
      const auto action = batch.actions[i][t].item<int32_t>();
      const int32_t back = backward_of(path[static_cast<size_t>(t)], action);
      EXPECT_NEAR(scores.log_pf[i][t].item<double>(), densities.forward[t][action].item<double>(), 1e-5);
      const double edge = densities.backward[t + 1][back].item<double>();
      if (scores.log_ref.defined()) {
        EXPECT_NEAR(scores.log_ref[i][t].item<double>(), edge, 1e-5);
      }
      log_ref += edge;
    }
    if (!scores.log_ref.defined()) {
      EXPECT_NEAR(batch.log_ref[i].item<double>(), log_ref, 1e-12);
    }
    float nats = 0;
    environment.log_reward(path.back(), {&nats, 1});
    EXPECT_EQ(batch.log_reward()[i].item<double>(), nats);
  }
}

TEST_P(EnvironmentConformance, FlowsBelongToTheStatesOfTheTrajectory) {
  const auto with_flow = random_policy(*task, {.log_flow = true, .log_ref_per_transition = true});
  auto& network = dynamic_cast<StatePolicy&>(*with_flow);
  const at::NoGradGuard no_grad;
  const Batch batch = sample(*task, *with_flow, 16, 1);
  const Scores scores = task->score(*with_flow, batch);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<Row> path = states(batch, i);
    const auto count = static_cast<int64_t>(path.size());
    Tensor active = at::empty({count, sizes.active}, at::kInt);
    environment.observe(flat(path), {active.mutable_data_ptr<int32_t>(), static_cast<size_t>(active.numel())});
    const Tensor flow = network.heads({active}).select(1, -1).narrow(0, 0, count - 1);  // the end has none
    EXPECT_TRUE(at::allclose(scores.log_flow[i].narrow(0, 0, count - 1), flow, 1e-5, 1e-5)) << "row " << i;
  }
}

// The sampler's one uniform per decision must fall into the chosen action's part of the behaviour's CDF.
TEST_P(EnvironmentConformance, SamplesFollowTheBehaviour) {
  for (const Exploration& explore : {Exploration{0, 1}, Exploration{1, 1}, Exploration{0.3, 2}}) {
    const Batch batch = sample(*task, *policy, 16, 4, explore);
    for (int64_t i = 0; i < batch.size(); ++i) {
      const std::vector<Row> path = states(batch, i);
      const Tensor forward = own.densities(*policy, flat(path)).forward;
      for (int64_t t = 0; t < batch.length[i].item<int64_t>(); ++t) {
        const Tensor valid = forward[t].isfinite().to(at::kDouble);
        const Tensor p = (1 - explore.epsilon) * at::softmax(forward[t] / explore.temperature, 0) +
                         explore.epsilon * valid / valid.sum();
        const int64_t action = batch.actions[i][t].item<int64_t>();
        ASSERT_EQ(valid[action].item<double>(), 1) << "only valid actions, however much it explores";
        const double above = p.cumsum(0)[action].item<double>(), width = p[action].item<double>();
        const double u =
            uniform(4, Stream::action, static_cast<uint64_t>(batch.id[i].item<int64_t>()), static_cast<uint32_t>(t));
        EXPECT_GT(u, above - width - 1e-5);
        EXPECT_LT(u, above + 1e-5);
      }
    }
  }
}

// Exact sums know the states of one query: another query's would be missing without a word.
TEST_P(EnvironmentConformance, OnlyTasksOfOneQueryAreEnumerated) {
  EXPECT_TRUE(sizes.queries == 1 || !own.graph());
  EXPECT_EQ(own.exact().has("log_z"), own.graph() != nullptr);
}

// Sum over all trajectories that end in x, edge by edge through the graph.
TEST_P(EnvironmentConformance, BackwardSumsToOneOverTrajectories) {
  if (!own.graph()) return;
  const StateGraph& graph = *own.graph();
  EXPECT_LE(graph.size(), environment.enumerable_states());
  const Tensor log_pb = own.densities(*policy, graph.states()).backward;
  std::vector<double> reached(static_cast<size_t>(graph.size()), 0);
  reached[0] = 1;
  for (const auto& edge : graph.edges())
    reached[static_cast<size_t>(edge.child)] +=
        reached[static_cast<size_t>(edge.parent)] *
        std::exp(log_pb.const_data_ptr<double>()[edge.child * sizes.backward_actions + edge.backward]);
  for (const double sum : reached) ASSERT_NEAR(sum, 1, 1e-6);
}

TEST_P(EnvironmentConformance, ResampleKeepsTheObject) {
  Batch batch = sample(*task, *policy, 32, 1);
  batch.version.fill_(9);
  const Batch again = task->resample(*policy, batch, consecutive(8, 32));
  EXPECT_TRUE(at::equal(again.reward, batch.reward));
  EXPECT_TRUE(at::equal(again.version, batch.version));
  EXPECT_TRUE(at::equal(again.query, batch.query));
  for (int64_t i = 0; i < 32; ++i) EXPECT_EQ(states(again, i).back(), states(batch, i).back());
  EXPECT_EQ(records(*task, again), records(*task, task->resample(*policy, batch, consecutive(8, 32))));
}

// Chi-square of whole trajectories to one object against the product of P_B; rare ones share a bin.
TEST_P(EnvironmentConformance, ResampleFollowsBackward) {
  constexpr int64_t n = 2000;
  const Batch few = sample(*task, *policy, 32, 1, {1, 1});
  const Batch object = select(few, few.length.argmax().expand({n}).contiguous());
  const Batch batch = task->resample(*policy, object, consecutive(2, n));
  const at::NoGradGuard no_grad;
  const Scores scores = task->score(*policy, batch);
  const Tensor log_ref = scores.log_ref.defined() ? scores.log_ref.to(at::kDouble).sum(1) : batch.log_ref;
  struct Bin {
    double expected = 0, count = 0;
  };
  std::map<std::vector<int64_t>, Bin> bins;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t* actions = batch.actions.const_data_ptr<int64_t>() + i * batch.actions.size(1);
    Bin& bin = bins[{actions, actions + batch.length[i].item<int64_t>()}];
    bin.expected = n * std::exp(log_ref[i].item<double>());
    ++bin.count;
  }
  Bin rest{double{n}, double{n}};
  double chi_square = 0, freedom = -1;
  const auto add = [&](const Bin& bin) {
    chi_square += (bin.count - bin.expected) * (bin.count - bin.expected) / bin.expected;
    ++freedom;
  };
  for (const auto& [actions, bin] : bins) {
    if (bin.expected < 5) continue;
    add(bin);
    rest.expected -= bin.expected;
    rest.count -= bin.count;
  }
  if (rest.expected > 1)
    add(rest);
  else
    EXPECT_LE(rest.count, 10);
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * std::max(freedom, 0.0)) + 1) << freedom + 1 << " bins";
}

TEST_P(EnvironmentConformance, SampledAndExactEvaluationsAgree) {
  if (!own.graph()) return;
  EvaluationDeck by_samples;
  by_samples.enumerate_up_to = 0;
  by_samples.samples = 4000;
  const Metrics exact = own.evaluate(*policy, {}, {});
  const Metrics sampled = GetParam().make(by_samples)->evaluate(*policy, {}, {11, {}, {}});
  const double elbo = exact.value("elbo"), spread = std::sqrt(exact.value("residual_second_moment") - elbo * elbo);
  EXPECT_NEAR(sampled.value("elbo"), elbo, 4 * spread / std::sqrt(4000.0));
  EXPECT_NEAR(sampled.value("mean_length"), exact.value("mean_length"), 0.05 * exact.value("mean_length"));
  const auto& p = exact.vectors().at("distribution");
  EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-9);
  EXPECT_LE(elbo, own.exact().value("log_z"));
}

}  // namespace
}  // namespace tightrope::conformance
