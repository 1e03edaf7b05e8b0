// Types of values and the conversions between them: loops without branches, which the compiler turns into vectors.
#include <algorithm>
#include <bit>
#include <cstring>

#include "tightrope/base/check.hpp"
#include "tightrope/base/safetensors.hpp"

namespace tightrope {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little endian");

constexpr uint32_t infinity_bits = 0x7f800000;  // of a float32: the exponent of infinities and NaNs

// 1 sign, 5 exponent (bias 15), 10 fraction bits into 1, 8 (bias 127), 23.
float from_float16(uint16_t half) {
  constexpr uint32_t rebias = (127 - 15) << 23;
  const uint32_t exponent = half & 0x7c00U, sign = (half & 0x8000U) << 16;
  const uint32_t normal = ((half & 0x7fffU) << 13) + rebias;
  // A subnormal is fraction * 2^-24: read as 2^-14 (1 + fraction * 2^-10), less 2^-14.
  const float subnormal = std::bit_cast<float>(normal + (1U << 23)) - 0x1p-14F;
  const uint32_t magnitude = exponent == 0        ? std::bit_cast<uint32_t>(subnormal)
                             : exponent == 0x7c00 ? normal + rebias
                                                  : normal;
  return std::bit_cast<float>(magnitude | sign);
}

template <class Convert>
void widen(std::span<const std::byte> from, std::span<float> to, Convert convert) {
  for (size_t i = 0; i < to.size(); ++i) {
    uint16_t value = 0;
    std::memcpy(&value, from.data() + 2 * i, 2);  // a file may place it at an odd address
    to[i] = convert(value);
  }
}

}  // namespace

int64_t dtype_bytes(Dtype dtype) { return dtype == Dtype::float32 ? 4 : 2; }

const char* dtype_code(Dtype dtype) {
  return dtype == Dtype::float32 ? "F32" : dtype == Dtype::float16 ? "F16" : "BF16";
}

const char* dtype_name(Dtype dtype) {
  return dtype == Dtype::float32 ? "float32" : dtype == Dtype::float16 ? "float16" : "bfloat16";
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

void to_float32(std::span<const std::byte> from, Dtype dtype, std::span<float> to) {
  EXPECT(from.size() == to.size() * static_cast<size_t>(dtype_bytes(dtype)));
  if (dtype == Dtype::float16) return widen(from, to, from_float16);
  if (dtype == Dtype::bfloat16) return widen(from, to, [](uint16_t value) { return from_bfloat16(value); });
  std::ranges::copy(from, std::as_writable_bytes(to).begin());
}

bool all_finite(std::span<const float> values) {
  uint32_t any = 0;
  for (const float value : values) any |= (std::bit_cast<uint32_t>(value) & infinity_bits) == infinity_bits;
  return any == 0;
}

}  // namespace tightrope
