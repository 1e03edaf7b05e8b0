#pragma once
// Task: what is sampled and how it is scored.  A pure function of the deck and of named, versioned parameter sets:
// it owns no randomness, no clock and no transport.  Log-probs and log-rewards are in nats.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tightrope/core/batch.hpp"
#include "tightrope/core/metrics.hpp"
#include "tightrope/core/policy.hpp"

namespace tightrope {

// Behaviour only; never enters a loss.
struct Exploration {
  double epsilon = 0;      // probability of a uniform draw over the valid actions
  double temperature = 1;  // divides the logits
};

// Names B samples: all randomness of row i comes from (seed, query[i], visit[i], k[i], position).
struct Keys {
  uint64_t seed = 0;
  std::vector<int64_t> visit;  // (B)
  std::vector<int64_t> k;      // (B)
};

// Scores of a batch under the current weights, with gradients.  What a task can supply is declared by supplies().
struct Scores {
  Tensor log_pf;    // (B,T) float32 or wider; zero beyond length
  Tensor log_ref;   // (B,T) or undefined: then Batch::log_ref holds
  Tensor log_flow;  // (B,T+1) of the states; only where asked; zero beyond length
  Tensor log_z;     // (B); only where asked
};

// What an objective asks of the scores; also what a task says it supplies.
struct Needs {
  bool log_z = false;                   // a learned log Z
  bool log_flow = false;                // state flows
  bool log_ref_per_transition = false;  // log P_B edge by edge
  bool groups = false;                  // K > 1 trajectories of each query
};

struct Slice {
  int64_t index = 0, count = 1;  // this part of that many; a task splits its evaluation as it likes
};

class Task {
 public:
  virtual ~Task() = default;
  virtual Layout layout() const = 0;
  virtual int64_t queries() const = 0;  // query ids are 0 .. queries()-1
  virtual Needs supplies() const = 0;

  // A new policy with the heads that `needs` asks for, all values set by initialise().
  virtual std::unique_ptr<Policy> make_policy(const Needs& needs) const = 0;

  // One trajectory per row of query (B) int64.  No gradients.  Same keys and weights: same batch.
  virtual Batch sample(Policy& policy, const Tensor& query, const Exploration& explore, const Keys& keys) const = 0;

  // The same objects x, each with a new trajectory tau ~ P_B(.|x).  No gradients.
  virtual Batch resample(Policy& policy, const Batch& terminals, const Keys& keys) const = 0;

  // Scores under the current weights, with gradients where they are enabled.
  virtual Scores score(Policy& policy, const Batch& batch) const = 0;

  // This slice's share of the evaluation, as mergeable sums and counts.
  virtual Metrics evaluate(Policy& policy, Slice slice, const Keys& keys) const = 0;

  // Known facts that never change in a run (exact log Z, target distribution); empty where unknown.
  virtual Metrics exact() const { return {}; }
};

}  // namespace tightrope
