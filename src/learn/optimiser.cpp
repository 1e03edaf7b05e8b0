#include "tightrope/learn/optimiser.hpp"

#include <cmath>
#include <numbers>

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

Optimiser::Optimiser(const OptimiserDeck& deck, ParameterSet& parameters, int64_t steps)
    : deck_(deck), parameters_(parameters), steps_(steps) {
  m_ = at::zeros_like(parameters.flat());
  v_ = at::zeros_like(parameters.flat());
  for (const ParameterGroup& part : parameters.groups()) {
    const bool log_z = part.name == "log_z";
    Group group{
        log_z ? deck.log_z_learning_rate : deck.learning_rate, log_z ? 0 : deck.weight_decay, {}, {}, {}, {}, {}, {}};
    group.value = {parameters.flat().narrow(0, part.offset, part.size)};
    group.gradient = {parameters.gradient().narrow(0, part.offset, part.size)};
    group.first = {m_.narrow(0, part.offset, part.size)};
    group.second = {v_.narrow(0, part.offset, part.size)};
    group.step = {at::zeros({}, at::kFloat)};
    groups_.push_back(std::move(group));
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

double Optimiser::step() {
  // In double: in float32 the sum of the squares of 134 million values came out 2 % too small.
  const double norm =
      at::linalg_vector_norm(parameters_.gradient(), 2, c10::nullopt, false, at::kDouble).item<double>();
  if (deck_.clip > 0 && norm > deck_.clip) parameters_.gradient().mul_(deck_.clip / norm);
  const double factor = rate_factor();
  ++done_;
  for (Group& group : groups_) {
    group.step.front().fill_(static_cast<double>(done_));
    at::_fused_adamw_(group.value, group.gradient, group.first, group.second, group.none, group.step,
                      group.rate * factor, deck_.beta1, deck_.beta2, group.decay, deck_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
  parameters_.changed();
  return norm;
}

void Optimiser::restore(int64_t steps_done, const Tensor& first, const Tensor& second) {
  done_ = steps_done;
  m_.copy_(first);
  v_.copy_(second);
}

}  // namespace tightrope
