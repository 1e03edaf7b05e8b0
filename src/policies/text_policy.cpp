#include "tightrope/policies/text_policy.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace tightrope {

TextPolicy::TextPolicy(const DecoderConfig& config, Precision sampler, std::function<void(const Tensor&)> load)
    : config_(config), precision_(sampler), load_(std::move(load)) {
  add_decoder_parameters(config, parameters);
}

void TextPolicy::initialise(uint64_t /*seed*/) {
  const at::NoGradGuard no_grad;
  const Tensor& flat = parameters.flat();
  const Tensor host = flat.cpu();  // itself where it is there
  load_(host);
  flat.copy_(host);
  parameters.changed();
}

TextSampler& TextPolicy::sampler() {
  if (!sampler_) sampler_ = std::make_unique<TextSampler>(config_, precision_);
  if (packed_revision_ != parameters.revision()) sampler_->load(parameters.flat().cpu());
  packed_revision_ = parameters.revision();
  return *sampler_;
}

}  // namespace tightrope
