#pragma once
// Multi-layer perceptron with rectified linear units over one-hot features.
#include "tightrope/core/deck.hpp"
#include "tightrope/core/policy.hpp"

namespace tightrope {

struct MlpDeck {
  static constexpr const char* section = "policy";
  int64_t width = 256;
  int64_t layers = 2;
  std::string backward = "uniform";  // uniform | learned
  double log_z_start = 0;
  void fields(FieldList& f);
};

struct MlpShape {
  int64_t features = 0, width = 0, layers = 0, outputs = 0;
  int64_t log_z = 0;  // learned log Z values, one per query; 0 = none
  double log_z_start = 0;
};

class MlpPolicy final : public StatePolicy {
 public:
  explicit MlpPolicy(const MlpShape& shape);
  void initialise(uint64_t seed) override;  // uniform in +-1/sqrt(fan-in); the last layer starts at zero
  Tensor heads(const Observation& observation) override;

 private:
  MlpShape shape_;
  std::vector<Tensor> layers_;  // weight and bias of each layer, the leaves of `parameters`, from their first use
};

}  // namespace tightrope
