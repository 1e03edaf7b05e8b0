#pragma once
// Sums, maxima and exponentials of rows in forms that the compiler turns into vector instructions under strict
// floating-point rules: sums in fixed lanes, so that they are also the same for any vector width.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace tightrope {

inline constexpr int64_t kSumLanes = 32;

// Sum of term(i), i < count.
template <class Term>
inline float lane_sum(int64_t count, Term term) {
  float lanes[kSumLanes] = {}, sum = 0;
  const int64_t whole = count / kSumLanes * kSumLanes;
  for (int64_t i = 0; i < whole; i += kSumLanes)
    for (int64_t j = 0; j < kSumLanes; ++j) lanes[j] += term(i + j);
  for (int64_t i = whole; i < count; ++i) sum += term(i);
  for (const float lane : lanes) sum += lane;
  return sum;
}

inline float lane_max(const float* values, int64_t count) {
  float lanes[kSumLanes], largest = -std::numeric_limits<float>::infinity();
  std::fill_n(lanes, kSumLanes, largest);
  const int64_t whole = count / kSumLanes * kSumLanes;
  for (int64_t i = 0; i < whole; i += kSumLanes)
    for (int64_t j = 0; j < kSumLanes; ++j) lanes[j] = lanes[j] < values[i + j] ? values[i + j] : lanes[j];
  for (int64_t i = whole; i < count; ++i) largest = largest < values[i] ? values[i] : largest;
  for (const float lane : lanes) largest = largest < lane ? lane : largest;
  return largest;
}

// e^x to 1e-7, for |x| <= 87 and as if it were 87 beyond; not a number stays what it is.  x = n log 2 + r with a whole
// n and |r| <= log(2)/2, for which eight terms of the series suffice; n becomes the exponent's bits.
inline float fast_exp(float x) {
  constexpr uint32_t kSign = 0x80000000U, kLimit = std::bit_cast<uint32_t>(87.0F);
  constexpr float kWhole = 12582912;  // 1.5 * 2^23: a sum with it is rounded to a whole number, its last bits
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & ~kSign;
  const float bounded = std::bit_cast<float>((bits & kSign) | (magnitude < kLimit ? magnitude : kLimit));
  const float shifted = bounded * 1.44269504F + kWhole, n = shifted - kWhole;
  const float r = (bounded - n * 0.693359375F) + n * 2.12194440e-4F;  // log 2 in two parts
  float series = 1.0F / 5040;
  series = series * r + 1.0F / 720;
  series = series * r + 1.0F / 120;
  series = series * r + 1.0F / 24;
  series = series * r + 1.0F / 6;
  series = series * r + 0.5F;
  series = series * r + 1;
  series = series * r + 1;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kWhole) + 127;
  return series * std::bit_cast<float>(exponent << 23) + x * 0.0F;
}

}  // namespace tightrope
