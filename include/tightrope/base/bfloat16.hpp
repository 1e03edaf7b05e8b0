#pragma once
// bfloat16 as it travels: the upper half of a float32.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tightrope {

// To the nearest bfloat16, ties to even (IEEE 754); what lies beyond the largest becomes infinite, a NaN stays one.
// Without branches: compilers turn a loop of it into vectors.
inline uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t even = (bits >> 16) & 1;  // the last bit that stays: a tie goes up where it is set
  const uint32_t rounded = (bits + 0x7fff + even) >> 16, quiet_nan = (bits >> 16) | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
}
inline float from_bfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Both spans have the same length.
inline void to_bfloat16(std::span<const float> from, std::span<uint16_t> to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = to_bfloat16(from[i]);
}
inline void from_bfloat16(std::span<const uint16_t> from, std::span<float> to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = from_bfloat16(from[i]);
}

}  // namespace tightrope
