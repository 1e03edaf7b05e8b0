#pragma once
// TextPolicy: a decoder's weights as a Policy, and a sampler that keeps a packed copy of them, made anew after they
// have changed.  Scores come from a Decoder, which takes the parameters.
#include <cstdint>
#include <functional>
#include <memory>

#include "tightrope/core/policy.hpp"
#include "tightrope/policies/decoder.hpp"
#include "tightrope/policies/text_sampler.hpp"

namespace tightrope {

class TextPolicy final : public Policy {
 public:
  // `load` fills a (P) float32 tensor on the CPU with what training starts from; `sampler` is the precision of the
  // sampler's copy.
  TextPolicy(const DecoderConfig& config, Precision sampler, std::function<void(const Tensor&)> load);

  void initialise(uint64_t seed) override;  // the seed has no say: training starts from the model
  TextSampler& sampler();

 private:
  DecoderConfig config_;
  Precision precision_;
  std::function<void(const Tensor&)> load_;
  std::unique_ptr<TextSampler> sampler_;
  int64_t packed_revision_ = -1;
};

}  // namespace tightrope
