#pragma once
// Objectives: rows of one table.  Each gives one loss per trajectory; the trainer sums them and divides by the
// global count, so a batch split over trainers has the gradient of the whole.  Sums and residuals are in double.
//   delta(tau) = log Z(q) + log p_theta(tau|q) - c log p_ref(tau|q) - log R(x,q) / temperature
#include <span>
#include <string>

#include "tightrope/core/task.hpp"

namespace tightrope {

struct ObjectiveValues {
  double temperature = 1;      // divides log R
  double ref_coefficient = 1;  // c
  double lambda = 0.9;         // SubTB's geometric weight
};

struct ObjectiveResult {
  Tensor loss;   // (B) float64 with grad, nats squared
  Tensor log_z;  // (B) float64 without grad: the estimate that each residual used
};

struct Objective {
  const char* name;
  ObjectiveResult (*evaluate)(const Scores&, const Batch&, const ObjectiveValues&);
  Needs needs;
  const char* source;  // paper and equation
};

std::span<const Objective> objectives();
// Throws Failure that lists the known names.
const Objective& find_objective(const std::string& name);

}  // namespace tightrope
