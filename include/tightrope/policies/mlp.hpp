#pragma once
// Multi-layer perceptron over one-hot features: the first layer gathers rows instead of multiplying one-hots.
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
};

// (N,W) sum of the rows of `table` (features, W) that are active, plus bias (W); with gradient.
Tensor gather_sum(const Tensor& table, const Tensor& bias, const Tensor& active);

}  // namespace tightrope
