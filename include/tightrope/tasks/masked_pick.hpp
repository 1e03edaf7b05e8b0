#pragma once
// Private to EnvironmentTask: log-probs of the actions taken, as one node of the autograd graph.
#include <torch/csrc/autograd/custom_function.h>

#include "tightrope/core/policy.hpp"

namespace tightrope {

// Columns [column, column + W) of heads (U,O) are logits; valid (U,W) uint8 masks them.  Gives (B,T) float64: the
// log-softmax over the valid at row (B,T) int32 and action (B,T) int32, and 0 where row is -1.
Tensor masked_log_prob(const Tensor& heads, int64_t column, const Tensor& valid, const Tensor& row,
                       const Tensor& action);

}  // namespace tightrope
