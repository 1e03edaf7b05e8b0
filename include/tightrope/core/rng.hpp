#pragma once
// Counter-based randomness (Philox4x32-10, Salmon et al. 2011, by Random123).  A number is a pure function of
// what it is for, never of the rank or the order in which it was drawn, so any partition of the work over any
// number of ranks draws the same samples.
#include <cstdint>

namespace tightrope {

// What a stream of uniforms is for; two streams never share numbers.
enum class Stream : uint32_t { action = 1, explore = 2, backward = 3, draw = 4, weights = 5, evaluation = 6, data = 7 };

// Names sample k of visit v to query q: hash of (query, visit, k), never negative.
int64_t sample_id(int64_t query, int64_t visit, int64_t k);

// Uniform in the open interval (0, 1), 53 bits, for decision `position` of sample `id`.
double uniform(uint64_t seed, Stream stream, uint64_t id, uint32_t position);

// Standard normal (Box-Muller on one Philox block).
double normal(uint64_t seed, Stream stream, uint64_t id, uint32_t position);

}  // namespace tightrope
