#include "tightrope/policies/mlp.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "tightrope/core/rng.hpp"
#include "tightrope/policies/mlp_heads.hpp"

namespace tightrope {

Tensor mlp_heads_aten(const std::vector<Tensor>& parameters, const Tensor& active) {
  const Tensor& table = parameters[0];
  const Tensor rows = table.index_select(0, active.clamp_min(0).view({-1}).to(at::kLong));
  const Tensor present = (active >= 0).to(at::kFloat).unsqueeze(2);
  Tensor x = (rows.view({active.size(0), active.size(1), table.size(1)}) * present).sum(1) + parameters[1];
  for (size_t layer = 2; layer < parameters.size(); layer += 2)
    x = at::addmm(parameters[layer + 1], x.relu(), parameters[layer]);
  return x;
}

void MlpDeck::fields(FieldList& f) {
  f.count("width", width, {1, 65536}, "units", "units of each hidden layer");
  f.count("layers", layers, {1, 64}, "layers", "hidden layers");
  f.choice("backward", backward, {"uniform", "learned"}, "P_B: uniform over the parents, or heads of the same network");
  f.real("log_z_start", log_z_start, {-1e6, 1e6}, "nats", "starting value of a learned log Z");
}

MlpPolicy::MlpPolicy(const MlpShape& shape) : shape_(shape) {
  parameters.add("layer0.weight", "network", {shape.features, shape.width});
  parameters.add("layer0.bias", "network", {shape.width});
  for (int64_t layer = 1; layer <= shape.layers; ++layer) {
    const int64_t outputs = layer == shape.layers ? shape.outputs : shape.width;
    const std::string name = "layer" + std::to_string(layer);
    parameters.add(name + ".weight", "network", {shape.width, outputs});
    parameters.add(name + ".bias", "network", {outputs});
  }
  if (shape.log_z > 0) parameters.add("log_z", "log_z", {shape.log_z});
}

void MlpPolicy::initialise(uint64_t seed) {
  const std::string last = "layer" + std::to_string(shape_.layers);
  const at::NoGradGuard no_grad;
  uint64_t index = 0;
  for (const Parameter& parameter : parameters.parameters()) {
    ++index;
    if (parameter.group == "log_z") {
      parameter.value.detach().fill_(shape_.log_z_start);
      continue;
    }
    if (parameter.name.starts_with(last)) {
      parameter.value.detach().zero_();
      continue;
    }
    // The first layer is fed a handful of ones, so its fan-in is what is active, not what is wide; the width serves.
    const double bound =
        1 / std::sqrt(static_cast<double>(index <= 2 ? std::min(shape_.features, shape_.width) : shape_.width));
    std::vector<float> values(static_cast<size_t>(parameter.value.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(bound * (2 * uniform(seed, Stream::weights, index, static_cast<uint32_t>(i)) - 1));
    parameter.value.detach().copy_(at::tensor(values).view(parameter.shape));
  }
}

Tensor MlpPolicy::heads(const Observation& observation) {
  if (layers_.empty())
    for (const Parameter& parameter : parameters.parameters())
      if (parameter.group == "network") layers_.push_back(parameter.value);
  if (parameters.device().is_cpu()) return mlp_heads_cpu(layers_, observation.active);
  return mlp_heads_aten(layers_, observation.active.to(parameters.device())).cpu();
}

}  // namespace tightrope
