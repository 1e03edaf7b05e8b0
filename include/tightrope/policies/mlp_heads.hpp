#pragma once
// Private to the MLP: its fused form on a CPU, and the same by LibTorch's operations on any one device.
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "tightrope/core/policy.hpp"

namespace tightrope {

// parameters: weight (in,out) and bias (out) of each layer in order; active (N,F) int32.  Returns (N,O) float32, with
// gradients of the parameters where gradients are enabled.
Tensor mlp_heads_cpu(const std::vector<Tensor>& parameters, const Tensor& active);
Tensor mlp_heads_aten(const std::vector<Tensor>& parameters, const Tensor& active);

}  // namespace tightrope
