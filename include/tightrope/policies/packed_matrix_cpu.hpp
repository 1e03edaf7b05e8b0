#pragma once
// PackedMatrix: a weight, laid out once so that y = x W^T for few rows x streams it from memory exactly once, in order.
// W (N,K) lies in panels of kPanel outputs: [N/kPanel][K or K/2][kPanel] words of 32 bits, each one float or two
// bfloat16 of consecutive k, the earlier in the low half.  Outputs and an odd last k are padded with zeros.
// A row of y depends on that row of x alone, bit for bit: every element is one sum in the order of k, however many
// rows, panels or threads there are.
// bfloat16 weights meet x in float32, or, where the machine has such an instruction (AVX512_BF16), x rounded to
// bfloat16.  Sums are float32 always.
#include <cstdint>
#include <span>
#include <vector>

#include "tightrope/policies/vector_cpu.hpp"

namespace tightrope {

enum class Precision { float32, bfloat16 };  // of stored weights

class PackedMatrix {
 public:
  static constexpr int kPanel = 2 * kLanes;  // outputs

  PackedMatrix() = default;  // 0 x 0
  PackedMatrix(int64_t outputs, int64_t inputs, Precision precision);

  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  int64_t words() const;  // that pack needs

  // Rounds to nearest even.  weight (N,K) and bias (N, or empty) row-major; `storage` must outlive this object's use
  // and should begin at a cache line.  Uses LibTorch's threads.
  void pack(const float* weight, std::span<const float> bias, std::span<uint32_t> storage);

  // y (M,N) = x (M,K) W^T + bias, added to what y holds where `add`.  Uses LibTorch's threads.
  void multiply(const float* x, int64_t rows, float* y, bool add = false) const;

  // Row n of W as it is stored: K values.
  void row(int64_t n, float* out) const;

 private:
  void pack_panel(const float* weight, int64_t panel, uint32_t* storage) const;

  int64_t outputs_ = 0, inputs_ = 0;
  Precision precision_ = Precision::float32;
  int64_t steps_ = 0;  // words of one output
  std::vector<float> bias_;
  const uint32_t* packed_ = nullptr;
};

}  // namespace tightrope
