#include "tightrope/learn/optimiser.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace tightrope {

void OptimiserDeck::fields(FieldList& f) {
  f.real("learning_rate", learning_rate, {0, 10}, "per update", "Adam's step size for the network");
  f.real("log_z_learning_rate", log_z_learning_rate, {0, 100}, "per update", "Adam's step size for log Z");
  f.count("warmup", warmup, {0, 1e12}, "updates",
          "updates over which the step sizes rise linearly to their full value");
  f.real("final_fraction", final_fraction, {0, 1}, "of the rates", "what both step sizes fall to by the last update");
  f.real("decay_start", decay_start, {0, 1}, "of the run", "where the cosine fall of the step sizes begins");
  f.real("beta1", beta1, {0, 1}, "", "decay of Adam's first moment");
  f.real("beta2", beta2, {0, 1}, "", "decay of Adam's second moment");
  f.real("epsilon", epsilon, {0, 1}, "", "Adam's denominator floor");
  f.real("weight_decay", weight_decay, {0, 1}, "per update", "decoupled weight decay of the network");
  f.real("clip", clip, {0, 1e9}, "gradient norm", "global norm that gradients are clipped to; 0 = never");
}

Optimiser::Optimiser(const OptimiserDeck& deck, ParameterSet& parameters, int64_t steps, std::vector<Extent> owned)
    : deck_(deck), parameters_(parameters), steps_(steps), owned_(std::move(owned)) {
  int64_t count = 0;
  for (const Extent& extent : owned_) count += extent.size;
  m_ = at::zeros({count}, parameters.flat().options());
  v_ = at::zeros_like(m_);
  for (const ParameterGroup& part : parameters.groups()) {
    const bool log_z = part.name == "log_z";
    Group group{
        log_z ? deck.log_z_learning_rate : deck.learning_rate, log_z ? 0 : deck.weight_decay, {}, {}, {}, {}, {}, {}};
    int64_t moment = 0;  // of the extent's first value in m_ and v_
    for (const Extent& extent : owned_) {
      const int64_t first = std::max(extent.offset, part.offset), size = std::min(extent.end(), part.end()) - first;
      if (size > 0) {
        group.value.push_back(parameters.flat().narrow(0, first, size));
        group.gradient.push_back(parameters.gradient().narrow(0, first, size));
        group.first.push_back(m_.narrow(0, moment + first - extent.offset, size));
        group.second.push_back(v_.narrow(0, moment + first - extent.offset, size));
        group.step.push_back(at::zeros({}, m_.options()));
      }
      moment += extent.size;
    }
    if (!group.value.empty()) groups_.push_back(std::move(group));
  }
}

double Optimiser::rate_factor() const {
  const double risen = done_ < deck_.warmup ? static_cast<double>(done_ + 1) / static_cast<double>(deck_.warmup) : 1;
  const double progress = steps_ > 0 ? static_cast<double>(done_) / static_cast<double>(steps_) : 0;
  if (progress <= deck_.decay_start || deck_.final_fraction >= 1) return risen;
  const double fallen = (progress - deck_.decay_start) / (1 - deck_.decay_start);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(fallen, 1.0)));
  return risen * (deck_.final_fraction + (1 - deck_.final_fraction) * cosine);
}

// In double: in float32 the sum of the squares of 134 million values came out 2 % too small.  On a CPU in pieces:
// LibTorch copies what it reads to double there.
double Optimiser::norm() const {
  const int64_t piece = parameters_.device().is_cpu() ? 1 << 17 : parameters_.size();  // values
  double squares = 0;
  for (const Extent& extent : owned_) {
    for (int64_t first = extent.offset; first < extent.end(); first += piece) {
      const Tensor part = parameters_.gradient().narrow(0, first, std::min(piece, extent.end() - first));
      const double norm = at::linalg_vector_norm(part, 2, c10::nullopt, false, at::kDouble).item<double>();
      squares += norm * norm;
    }
  }
  return std::sqrt(squares);
}

void Optimiser::step(double norm) {
  const double factor = rate_factor();
  ++done_;
  for (Group& group : groups_) {
    for (const Tensor& part : group.gradient)
      if (deck_.clip > 0 && norm > deck_.clip) part.mul_(deck_.clip / norm);
    for (const Tensor& step : group.step) step.fill_(static_cast<double>(done_));
    at::_fused_adamw_(group.value, group.gradient, group.first, group.second, group.none, group.step,
                      group.rate * factor, deck_.beta1, deck_.beta2, group.decay, deck_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
  parameters_.changed();
}

void Optimiser::restore(int64_t steps_done, const Tensor& first, const Tensor& second) {
  done_ = steps_done;
  int64_t moment = 0;
  for (const Extent& extent : owned_) {
    m_.narrow(0, moment, extent.size).copy_(first.narrow(0, extent.offset, extent.size));
    v_.narrow(0, moment, extent.size).copy_(second.narrow(0, extent.offset, extent.size));
    moment += extent.size;
  }
}

}  // namespace tightrope
