// The numbers of tests/golden/golden.json, which an independent script computed in fractions.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tightrope/learn/objective.hpp"
#include "tightrope/tasks/environment_task.hpp"
#include "tightrope/tasks/environments.hpp"

namespace tightrope {
namespace {

using Json = nlohmann::json;
using Doubles = std::vector<double>;

Json golden() {
  std::ifstream file(TIGHTROPE_SOURCE "/tests/golden/golden.json");
  return Json::parse(file);
}

Json cases() { return golden()["objectives"]["cases"]; }

Tensor tensor(const Json& value) {
  if (!value.front().is_array()) return at::tensor(value.get<Doubles>(), at::kDouble);
  std::vector<Tensor> rows;
  for (const Json& row : value) rows.push_back(tensor(row));
  return at::stack(rows);
}

Tensor integers(const Json& value) { return at::tensor(value.get<std::vector<int64_t>>(), at::kLong); }

void expect_near(const Tensor& value, const Tensor& wanted, double tolerance, const std::string& what) {
  ASSERT_EQ(value.sizes(), wanted.sizes()) << what;
  const double worst = ((value - wanted).abs() / wanted.abs().clamp_min(1)).max().item<double>();
  EXPECT_LE(worst, tolerance) << what << "\nis\n" << value << "\nwanted\n" << wanted;
}

Batch batch_of(const Json& entry) {
  Batch batch;
  batch.query = integers(entry["query"]);
  batch.group = integers(entry["group"]);
  batch.id = at::arange(batch.query.size(0), at::kLong);
  batch.length = integers(entry["length"]);
  batch.reward = tensor(entry["log_reward"]).to(at::kFloat).unsqueeze(1);
  return batch;
}

struct Inputs {
  explicit Inputs(const Json& entry) : length(integers(entry["length"]).unsqueeze(1)) {
    for (const char* name : {"log_pf", "log_ref", "log_flow", "log_z"})
      leaf[name] = tensor(entry[name]).requires_grad_(true);
  }
  // A task cuts what is beyond the length, so no gradient gets there.
  Scores scores() const {
    const Tensor inside = at::arange(leaf.at("log_pf").size(1)).unsqueeze(0) < length;
    return {leaf.at("log_pf") * inside, leaf.at("log_ref") * inside, leaf.at("log_flow"), leaf.at("log_z")};
  }
  Tensor length;
  std::map<std::string, Tensor> leaf;
};

ObjectiveValues values_of(const Json& entry) {
  return {entry["temperature"], entry["ref_coefficient"], entry["lambda"]};
}

TEST(GoldenObjectives, LossesAndGradients) {
  ASSERT_GE(cases().size(), 6U);
  for (const Json& entry : cases())
    for (const Objective& objective : objectives()) {
      const std::string what = entry["name"].get<std::string>() + ": " + objective.name + ": ";
      const Json& wanted = entry["expected"][objective.name];
      const Inputs inputs(entry);
      const auto result = objective.evaluate(inputs.scores(), batch_of(entry), values_of(entry));
      expect_near(result.loss, tensor(wanted["loss"]), 1e-10, what + "loss");
      EXPECT_NEAR(result.loss.mean().item<double>() / wanted["mean_loss"].get<double>(), 1, 1e-10) << what;
      expect_near(result.log_z, tensor(wanted["log_z"]), 1e-10, what + "log Z");
      result.loss.mean().backward();
      for (const auto& [name, leaf] : inputs.leaf) {
        const Tensor gradient = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
        expect_near(gradient, tensor(wanted["grad_" + name]), 1e-10, what + "gradient of " + name);
      }
    }
}

// The task stores sums where P_B is uniform; objectives over whole trajectories take them from the batch.
TEST(GoldenObjectives, StoredReferenceServesAsWell) {
  for (const Json& entry : cases())
    for (const Objective& objective : objectives()) {
      if (objective.needs.log_ref_per_transition) continue;
      const Inputs inputs(entry);
      Scores scores = inputs.scores();
      Batch batch = batch_of(entry);
      batch.log_ref = scores.log_ref.detach().sum(1);
      scores.log_ref = Tensor();
      const auto result = objective.evaluate(scores, batch, values_of(entry));
      expect_near(result.loss, tensor(entry["expected"][objective.name]["loss"]), 1e-10, objective.name);
    }
}

// log pi (-2, -3, -1.5), log pi_ref (-2.5, -2.5, -2), log R (1, 0, 1), temperature 0.5.
TEST(GoldenObjectives, VarGradOfThreeSamples) {
  Scores scores;
  scores.log_pf = at::tensor(Doubles{-2, -3, -1.5}, at::kDouble).unsqueeze(1).requires_grad_(true);
  Batch batch;
  batch.id = batch.group = at::zeros({3}, at::kLong);
  batch.log_ref = at::tensor(Doubles{-2.5, -2.5, -2}, at::kDouble);
  batch.reward = at::tensor(Doubles{1, 0, 1}, at::kFloat).unsqueeze(1);
  const auto result = find_objective("vargrad").evaluate(scores, batch, {.temperature = 0.5});
  EXPECT_NEAR(result.log_z[0].item<double>(), 7.0 / 6, 1e-12);
  EXPECT_NEAR(result.loss.mean().item<double>(), 2.0 / 9, 1e-12);
  result.loss.mean().backward();
  const Tensor wanted = at::tensor(Doubles{-2.0 / 9, 4.0 / 9, -2.0 / 9}, at::kDouble).unsqueeze(1);
  expect_near(scores.log_pf.grad(), wanted, 1e-12, "gradient");
}

TEST(GoldenObjectives, GroupsNeverMix) {
  for (const Objective& objective : objectives()) {
    Doubles losses[2];
    for (const double moved : {0.0, 100.0}) {
      const Json entry = cases()[2];
      Batch batch = batch_of(entry);
      const Tensor other = batch.group == 1;
      batch.reward += moved * other.unsqueeze(1);
      const auto loss = objective.evaluate(Inputs(entry).scores(), batch, values_of(entry)).loss.detach();
      const Tensor kept = loss.masked_select(other.logical_not());
      losses[moved > 0].assign(kept.const_data_ptr<double>(), kept.const_data_ptr<double>() + kept.numel());
    }
    EXPECT_EQ(losses[0], losses[1]) << objective.name;
  }
}

TEST(GoldenObjectives, UnknownNamesAreAnsweredWithTheKnownOnes) {
  EXPECT_THROW(
      {
        try {
          find_objective("tbb");
        } catch (const std::runtime_error& error) {
          EXPECT_NE(std::string(error.what()).find("tb, vargrad, rloo, db, subtb"), std::string::npos);
          throw;
        }
      },
      std::runtime_error);
}

HypergridDeck grid(int64_t dimensions, int64_t side, double r0 = 0.1) {
  HypergridDeck deck;
  deck.dimensions = dimensions;
  deck.side = side;
  deck.r0 = r0;
  return deck;
}

EnvironmentTask eight_by_eight() { return {make_hypergrid(grid(2, 8)), MlpDeck{}, EvaluationDeck{}}; }

// The exact solution as tables over the cells (i, j), index 8 i + j.
struct ExactFlows {
  ExactFlows() {
    const Json entry = golden()["hypergrid_flows_8x8"];
    p_f = entry["p_f"].get<std::vector<Doubles>>();
    log_flow = entry["log_flow"].get<Doubles>();
    target = entry["target"].get<Doubles>();
    log_z = entry["log_z"];
  }
  static size_t cell(std::span<const int32_t> s) { return static_cast<size_t>(8 * s[0] + s[1]); }
  // Of the edge into `child`: uniform over the coordinates that are not zero; a stop has one parent.
  static double log_pb(std::span<const int32_t> child) {
    return child[2] ? 0 : -std::log(static_cast<double>((child[0] > 0) + (child[1] > 0)));
  }
  std::vector<Doubles> p_f;
  Doubles log_flow, target;
  double log_z = 0;
};

TEST(ExactFlows, EveryObjectiveIsZero) {
  const ExactFlows exact;
  const EnvironmentTask task = eight_by_eight();
  constexpr int64_t B = 512;
  const auto policy = task.make_policy({});
  policy->initialise(1);
  std::vector<int64_t> visits(B);
  std::iota(visits.begin(), visits.end(), 0);
  Batch batch = task.sample(*policy, at::zeros({B}, at::kLong), {}, {1, visits, std::vector<int64_t>(B, 0)});
  batch.group = at::arange(B, at::kLong).div(8, "floor");
  const int64_t T = batch.actions.size(1);
  Scores scores{at::zeros({B, T}, at::kDouble), at::zeros({B, T}, at::kDouble), at::zeros({B, T + 1}, at::kDouble),
                at::full({B}, exact.log_z, at::kDouble)};
  for (int64_t i = 0; i < B; ++i) {
    std::vector<int32_t> state = {0, 0, 0};
    for (int64_t t = 0; t < batch.length[i].item<int64_t>(); ++t) {
      const auto action = batch.actions[i][t].item<int32_t>();
      const size_t cell = ExactFlows::cell(state);
      scores.log_flow[i][t] = exact.log_flow[cell];
      scores.log_pf[i][t] = std::log(exact.p_f[cell][static_cast<size_t>(action)]);
      ++state[static_cast<size_t>(action)];
      scores.log_ref[i][t] = ExactFlows::log_pb(state);
    }
  }
  for (const Objective& objective : objectives()) {
    if (std::string(objective.name) == "rloo") continue;  // no balance: it has no zero at the exact flows
    EXPECT_LT(objective.evaluate(scores, batch, {}).loss.max().item<double>(), 1e-10) << objective.name;
  }
}

TEST(ExactFlows, PolicyStopsWithTheTarget) {
  const ExactFlows exact;
  const EnvironmentTask task = eight_by_eight();
  const StateGraph& graph = *task.graph();
  Doubles log_pf, log_pb;
  for (const auto& edge : graph.edges()) {
    const size_t cell = ExactFlows::cell(graph.rows().state(edge.parent));
    log_pf.push_back(std::log(exact.p_f[cell][static_cast<size_t>(edge.action)]));
    log_pb.push_back(ExactFlows::log_pb(graph.rows().state(edge.child)));
  }
  const auto moments = graph.moments(log_pf, log_pb);
  const Doubles target = graph.target();
  ASSERT_EQ(moments.distribution.size(), 64U);
  for (size_t x = 0; x < 64; ++x) {
    EXPECT_NEAR(moments.distribution[x], exact.target[x], 1e-12);
    EXPECT_NEAR(target[x], exact.target[x], 1e-8);  // rewards travel as float32
  }
  EXPECT_NEAR(moments.elbo, exact.log_z, 1e-7);
  EXPECT_NEAR(moments.second, exact.log_z * exact.log_z, 1e-6);
}

TEST(Hypergrid, PartitionFunctions) {
  const Json grids = golden()["hypergrid_z"];
  ASSERT_EQ(grids.size(), 4U);
  for (const Json& row : grids) {
    const auto environment = make_hypergrid(grid(row["dims"], row["side"], row["rewards"][0]));
    const StateGraph graph(*environment, 400000);
    EXPECT_EQ(graph.size(), environment->enumerable_states());
    EXPECT_NEAR(graph.log_z(), row["log_z"].get<double>(), 1e-7) << row;
  }
}

TEST(Hypergrid, ZeroLogits) {
  const Json wanted = golden()["zero_logits_8x8"];
  const EnvironmentTask task = eight_by_eight();
  const auto policy = task.make_policy({});
  policy->initialise(3);
  const Metrics metrics = task.evaluate(*policy, {}, {});
  const std::pair<const char*, const char*> names[] = {
      {"tv", "tv"}, {"elbo", "elbo"}, {"residual_second_moment", "delta_squared"}, {"mean_length", "length"}};
  for (const auto& [ours, theirs] : names) EXPECT_NEAR(metrics.value(ours), wanted[theirs].get<double>(), 1e-6) << ours;
  expect_near(at::tensor(metrics.vectors().at("distribution"), at::kDouble), tensor(wanted["terminal"]), 1e-12, "");
  EXPECT_NEAR(task.exact().value("log_z"), std::log(22.4), 1e-7);
  EXPECT_EQ(task.exact().vectors().at("shape"), (Doubles{8, 8}));
}

TEST(Hypergrid, FourModesOfEightByEight) {
  const EnvironmentTask task = eight_by_eight();
  const Doubles mode = task.exact().vectors().at("mode");
  for (int64_t i = 0; i < 8; ++i)
    for (int64_t j = 0; j < 8; ++j) {
      const bool in = (i == 1 || i == 6) && (j == 1 || j == 6);
      EXPECT_EQ(mode[static_cast<size_t>(8 * i + j)], in ? 2 * (i == 6) + (j == 6) : -1) << i << "," << j;
    }
}

TEST(BitSequence, PartitionFunctions) {
  const Json wanted = golden()["bits_16"];
  for (size_t i = 0; i < 3; ++i) {
    BitsDeck deck;
    deck.bits = 16;
    deck.modes = 25;
    deck.sharpness = wanted["exponents"][i];
    EXPECT_NEAR(StateGraph(*make_bits(deck), 70000).log_z(), wanted["log_z"][i].get<double>(), 1e-6);
  }
}

TEST(BitSequence, AsksForWhatExists) {
  BitsDeck deck;
  deck.bits = 16;
  deck.modes = 26;
  EXPECT_THROW(make_bits(deck), std::runtime_error);
  deck.modes = 25;
  deck.word = 5;
  EXPECT_THROW(make_bits(deck), std::runtime_error);
}

}  // namespace
}  // namespace tightrope
