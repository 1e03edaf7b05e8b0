#pragma once
// EnvironmentTask: any Environment as a Task.  log p_ref is log P_B: uniform over the valid parents (then it is a
// property of the trajectory and stored with it) or learned (then it is scored).  A trajectory's actions are the
// forward action ids of its edges.
#include <memory>

#include "tightrope/core/environment.hpp"
#include "tightrope/core/task.hpp"
#include "tightrope/policies/mlp.hpp"
#include "tightrope/tasks/evaluation.hpp"
#include "tightrope/tasks/state_graph.hpp"
#include "tightrope/tasks/state_rows.hpp"

namespace tightrope {

class EnvironmentTask final : public Task {
 public:
  EnvironmentTask(std::unique_ptr<const Environment> environment, const MlpDeck& network,
                  const EvaluationDeck& evaluation);

  Layout layout() const override;
  int64_t queries() const override { return sizes_.queries; }
  Needs supplies() const override { return {true, true, true, true}; }
  std::unique_ptr<Policy> make_policy(const Needs& needs) const override;
  Batch sample(Policy& policy, const Tensor& query, const Exploration& explore, const Keys& keys) const override;
  Batch resample(Policy& policy, const Batch& terminals, const Keys& keys) const override;
  Scores score(Policy& policy, const Batch& batch) const override;
  Metrics evaluate(Policy& policy, Slice slice, const Keys& keys) const override;
  Metrics exact() const override;

  const Environment& environment() const { return *environment_; }
  const StateGraph* graph() const { return graph_.get(); }  // nullptr where the DAG is too large
  // (S,A) float64 log P_F and (S,A') log P_B of the given states; -inf on invalid actions.  No gradients.
  struct Densities {
    Tensor forward, backward;
  };
  Densities densities(Policy& policy, std::span<const int32_t> states) const;

 private:
  struct Columns;  // where each head lives in a policy's output
  Columns columns(Policy& policy) const;
  Metrics evaluate_exactly(Policy& policy) const;
  Metrics evaluate_by_samples(Policy& policy, Slice slice, const Keys& keys) const;
  Tensor observe(std::span<const int32_t> states) const;              // (N,F) int32
  Tensor valid(std::span<const int32_t> states, bool forward) const;  // (N,A) uint8

  std::unique_ptr<const Environment> environment_;
  Environment::Sizes sizes_;
  MlpDeck network_;
  EvaluationDeck evaluation_;
  std::unique_ptr<const StateGraph> graph_;
};

}  // namespace tightrope
