#pragma once
// StateGraph: the whole DAG of a small environment (query 0), for exact sums.  Memory: about 100 bytes per edge.
#include <cstdint>
#include <vector>

#include "tightrope/core/environment.hpp"
#include "tightrope/core/metrics.hpp"
#include "tightrope/tasks/state_rows.hpp"

namespace tightrope {

class StateGraph {
 public:
  struct Edge {
    int32_t parent, child;
    int32_t action, backward;  // its id at the parent and at the child
  };

  // Visits every state from the source; throws Failure beyond `most` states.
  StateGraph(const Environment& environment, int64_t most);

  int64_t size() const { return rows_.size(); }
  std::span<const int32_t> states() const { return rows_.states(); }
  const StateRows& rows() const { return rows_; }
  const std::vector<Edge>& edges() const { return edges_; }                // every edge after all edges into its parent
  const std::vector<int32_t>& terminals() const { return terminals_; }     // ascending by state values
  const std::vector<double>& log_rewards() const { return log_rewards_; }  // of terminals(), nats
  double log_z() const { return log_z_; }                                  // log sum of rewards
  std::vector<double> target() const;                                      // R / Z of terminals()

  // Sums over all trajectories of a policy, exactly, from edge log-probs (one per edge, nats).
  struct Moments {
    std::vector<double> distribution;  // of terminals()
    double elbo = 0;                   // E[log R + log P_B - log P_F]
    double second = 0;                 // E[(log R + log P_B - log P_F)^2]
    double length = 0;                 // E[edges]
  };
  Moments moments(const std::vector<double>& log_pf, const std::vector<double>& log_pb) const;

 private:
  void order_edges();
  StateRows rows_;
  std::vector<Edge> edges_;
  std::vector<int32_t> terminals_;
  std::vector<double> log_rewards_;
  double log_z_ = 0;
};

}  // namespace tightrope
