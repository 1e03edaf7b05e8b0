#include "tightrope/core/rng.hpp"

#include <xxhash.h>

#include <Random123/philox.h>
#include <cmath>
#include <numbers>

namespace tightrope {
namespace {

struct Pair {
  double first, second;  // each in (0, 1)
};

double open_unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 11;  // 53 bits
  return (static_cast<double>(bits) + 0.5) * 0x1p-53;
}

Pair block(uint64_t seed, Stream stream, uint64_t id, uint32_t position) {
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32), position, static_cast<uint32_t>(stream)}};
  const r123::Philox4x32::key_type key = {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}};
  const auto word = r123::Philox4x32()(counter, key);
  return {open_unit(word[0], word[1]), open_unit(word[2], word[3])};
}

}  // namespace

int64_t sample_id(int64_t query, int64_t visit, int64_t k) {
  const int64_t name[3] = {query, visit, k};
  return static_cast<int64_t>(XXH3_64bits(name, sizeof name) >> 1);
}

double uniform(uint64_t seed, Stream stream, uint64_t id, uint32_t position) {
  return block(seed, stream, id, position).first;
}

double normal(uint64_t seed, Stream stream, uint64_t id, uint32_t position) {
  const Pair u = block(seed, stream, id, position);
  return std::sqrt(-2 * std::log(u.first)) * std::cos(2 * std::numbers::pi * u.second);
}

}  // namespace tightrope
