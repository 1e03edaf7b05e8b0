#pragma once
// Task: what is sampled and how it is scored.  A pure function of the deck and of named, versioned parameter sets:
// it owns no randomness, no clock and no transport.  Log-probs and log-rewards are in nats.
#include <memory>
#include <optional>
#include <span>
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
  double top_p = 1;        // draws from the likeliest tokens of this mass (text)
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

  // Adds what is costly and only worth it for samples that are kept (log p_ref by a reference model).  B > 0
  virtual void complete(Batch& /*sampled*/) const {}

  // The same objects x, each with a new trajectory tau ~ P_B(.|x).  No gradients.
  virtual Batch resample(Policy& policy, const Batch& terminals, const Keys& keys) const = 0;

  // Scores under the current weights, with gradients where they are enabled.
  virtual Scores score(Policy& policy, const Batch& batch) const = 0;

  // How many rows of the batch from `first` on fit into one pass of score() and backward(): a trainer adds up the
  // gradients of the parts.  The answer is cut to whole groups there.
  virtual int64_t rows_at_once(const Batch& batch, int64_t first) const { return batch.size() - first; }

  // Parameters that never change in a run (a reference model): where they take any bytes, the run keeps one copy per
  // node, which fill_frozen() writes on one rank and use_frozen() hands to every rank before the first sample.
  virtual int64_t frozen_bytes() const { return 0; }
  virtual void fill_frozen(std::span<std::byte> /*memory*/) const {}
  virtual void use_frozen(std::span<const std::byte> /*memory*/) const {}

  // What there is to say about the task before it runs, in lines ("  name   value"); empty where there is nothing.
  virtual std::string summary() const { return {}; }

  // Leaves the policy in `folder` in the form that other programs of its field read; nothing where there is none.
  virtual void export_policy(const Policy& /*policy*/, const std::string& /*folder*/) const {}

  // A trajectory in words, for people; empty where the task has none.
  virtual std::string describe(const Batch& /*batch*/, int64_t /*row*/) const { return {}; }

  // This slice's share of the evaluation, as mergeable sums and counts.
  virtual Metrics evaluate(Policy& policy, Slice slice, const Keys& keys) const = 0;

  // Known facts that never change in a run (exact log Z, target distribution); empty where unknown.
  virtual Metrics exact() const { return {}; }
};

}  // namespace tightrope
