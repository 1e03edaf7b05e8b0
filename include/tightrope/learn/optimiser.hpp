#pragma once
// Adam on one flat buffer, with a learning rate per parameter group (Kingma and Ba 2015, algorithm 1; decoupled
// weight decay as in Loshchilov and Hutter 2019).  LibTorch's fused kernel does the arithmetic.
#include <string>
#include <vector>

#include "tightrope/core/deck.hpp"
#include "tightrope/core/extent.hpp"
#include "tightrope/core/policy.hpp"

namespace tightrope {

// Part of [trainer].
struct OptimiserDeck {
  double learning_rate = 1e-3;
  double log_z_learning_rate = 0.1;
  int64_t warmup = 0;         // updates over which the rates rise linearly
  double final_fraction = 1;  // of the learning rates, reached at the last step
  double decay_start = 0;     // fraction of the run after which the rates fall along a cosine
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  double clip = 0;  // global gradient norm; 0 = no clipping
  void fields(FieldList& f);
};

class Optimiser {
 public:
  // Updates the `owned` values (ascending, apart from each other) and keeps their moments: all, where not said.
  Optimiser(const OptimiserDeck& deck, ParameterSet& parameters, int64_t steps, std::vector<Extent> owned);
  Optimiser(const OptimiserDeck& deck, ParameterSet& parameters, int64_t steps)
      : Optimiser(deck, parameters, steps, {{0, parameters.size()}}) {}

  double norm() const;     // of the owned part of parameters.gradient()
  void step(double norm);  // one update of the owned values; `norm` is the whole gradient's, for clipping

  int64_t steps_done() const { return done_; }
  double rate_factor() const;                         // of the schedule, at the next step
  const Tensor& first_moment() const { return m_; }   // float32, of the owned values one after another
  const Tensor& second_moment() const { return v_; }  // the same
  void restore(int64_t steps_done, const Tensor& first, const Tensor& second);  // (P) each

 private:
  OptimiserDeck deck_;
  ParameterSet& parameters_;
  int64_t steps_, done_ = 0;
  std::vector<Extent> owned_;
  Tensor m_, v_;
  struct Group {
    double rate, decay;
    std::vector<Tensor> value, gradient, first, second, none, step;
  };
  std::vector<Group> groups_;
};

}  // namespace tightrope
