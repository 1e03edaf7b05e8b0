#pragma once
// What the tests of sums over trainers share: numbers of each rank, and what their sum must be.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "tightrope/base/check.hpp"
#include "tightrope/comm/gradient_sum.hpp"

namespace tightrope {

constexpr int64_t kBucket = 65536;  // bytes

inline CollectiveDeck deck(const std::string& kind) {
  CollectiveDeck d;
  d.kind = kind;
  d.bucket = kBucket;
  d.timeout = 30;
  return d;
}

inline GradientPlan plan(const mpi::Comm& comm, size_t values) {
  return {static_cast<int64_t>(values), kBucket, comm.size()};
}

inline std::vector<float> numbers(int rank, size_t count, unsigned seed = 0) {
  std::minstd_rand generator(static_cast<unsigned>(rank) * 7 + static_cast<unsigned>(count) + 1000 * seed);
  std::vector<float> values(count);
  for (float& v : values)
    v = std::ldexp(static_cast<float>(generator() % 20001) - 10000.0f, static_cast<int>(generator() % 20) - 10);
  return values;
}

// Values that are off by more than `tolerance` times the sum of the ranks' sizes.
inline size_t wrong(const mpi::Comm& comm, const std::vector<float>& sum, double tolerance, unsigned seed = 0) {
  std::vector<double> exact(sum.size()), size(sum.size());
  for (int r = 0; r < comm.size(); ++r) {
    const auto of_rank = numbers(r, sum.size(), seed);
    for (size_t i = 0; i < sum.size(); ++i) {
      exact[i] += of_rank[i];
      size[i] += std::abs(of_rank[i]);
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < sum.size(); ++i) count += std::abs(sum[i] - exact[i]) > tolerance * size[i];
  return count;
}

// Values whose bits are not the same on all ranks.
inline size_t different(const mpi::Comm& comm, const std::vector<float>& values) {
  std::vector<int64_t> bits(2 * values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    bits[2 * i] = std::bit_cast<int32_t>(values[i]);
    bits[2 * i + 1] = -bits[2 * i];
  }
  comm.max(bits);
  size_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) count += bits[2 * i] != -bits[2 * i + 1];
  return count;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace tightrope
