// Products with packed weights, and the exponential of the same registers.
#include "tightrope/policies/packed_matrix_cpu.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tightrope/core/rng.hpp"

namespace tightrope {
namespace {

std::vector<float> numbers(int64_t count, uint64_t id) {
  std::vector<float> list;
  for (int64_t i = 0; i < count; ++i)
    list.push_back(static_cast<float>(normal(1, Stream::data, id, static_cast<uint32_t>(i))));
  return list;
}

float to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000U);
}

struct Example {
  Example(int64_t n, int64_t k, Precision precision, std::vector<float> w, std::vector<float> b = {})
      : matrix(n, k, precision),
        weight(std::move(w)),
        bias(std::move(b)),
        storage(static_cast<size_t>(matrix.words())) {
    matrix.pack(weight.data(), bias, storage);
    stored = weight;
    if (precision == Precision::bfloat16)
      for (float& value : stored) value = to_bfloat16(value);
#ifdef __AVX512BF16__
    rounds_input = precision == Precision::bfloat16;
#endif
  }
  std::vector<float> product(const std::vector<float>& x, int64_t rows) const {
    std::vector<float> y(static_cast<size_t>(rows * matrix.outputs()));
    matrix.multiply(x.data(), rows, y.data());
    return y;
  }

  PackedMatrix matrix;
  std::vector<float> weight, bias;
  std::vector<uint32_t> storage;
  std::vector<float> stored;  // the weight as it should be kept
  bool rounds_input = false;
};

void expect_product(const Example& e, const std::vector<float>& x, int64_t rows, const std::vector<float>& y,
                    const std::vector<float>& added) {
  const int64_t n = e.matrix.outputs(), k = e.matrix.inputs();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) {
      double sum = e.bias.empty() ? 0 : e.bias[j], size = std::abs(sum);
      if (!added.empty()) sum += added[r * n + j];
      for (int64_t i = 0; i < k; ++i) {
        const double term = double{e.rounds_input ? to_bfloat16(x[r * k + i]) : x[r * k + i]} * e.stored[j * k + i];
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(y[r * n + j], sum, 1e-6 * (size + 1)) << "row " << r << " of " << rows << ", output " << j;
    }
}

class Packed : public ::testing::TestWithParam<Precision> {};
INSTANTIATE_TEST_SUITE_P(Precisions, Packed, ::testing::Values(Precision::float32, Precision::bfloat16));

TEST_P(Packed, ProductsOfEveryNumberOfRows) {
  for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {67, 33}, {128, 64}, {130, 75}}) {
    const Example e(n, k, GetParam(), numbers(n * k, 1));
    for (int64_t rows = 1; rows <= 70; ++rows) {
      const auto x = numbers(rows * k, 2);
      expect_product(e, x, rows, e.product(x, rows), {});
    }
  }
}

TEST_P(Packed, ProductsOfManyShapes) {
  for (const int64_t n : {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 200})
    for (const int64_t k : {1, 2, 3, 8, 31, 64, 129, 300})
      for (const int64_t rows : {1, 2, 3, 7, 13}) {
        const Example e(n, k, GetParam(), numbers(n * k, 3));
        const auto x = numbers(rows * k, 4);
        expect_product(e, x, rows, e.product(x, rows), {});
      }
}

TEST_P(Packed, AddsBiasAndWhatIsThere) {
  for (const int64_t n : {5, 32, 71})
    for (const int64_t rows : {1, 9}) {
      const Example e(n, 41, GetParam(), numbers(n * 41, 5), numbers(n, 6));
      const auto x = numbers(rows * 41, 7), before = numbers(rows * n, 8);
      expect_product(e, x, rows, e.product(x, rows), {});
      auto y = before;
      e.matrix.multiply(x.data(), rows, y.data(), true);
      expect_product(e, x, rows, y, before);
    }
}

TEST_P(Packed, RowsDoNotDependOnOthers) {
  const int64_t n = 150, k = 333;
  const Example e(n, k, GetParam(), numbers(n * k, 9));
  const auto x = numbers(70 * k, 10);
  std::vector<float> alone;
  for (int64_t r = 0; r < 70; ++r) {
    const auto y = e.product({x.begin() + r * k, x.begin() + (r + 1) * k}, 1);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  for (int64_t rows = 1; rows <= 70; ++rows) {
    const auto y = e.product(x, rows);
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(alone[i])) << rows << " rows, value " << i;
  }
}

TEST_P(Packed, ThreadsDoNotChangeAnything) {
  const int64_t n = 2000, k = 200;
  const Example e(n, k, GetParam(), numbers(n * k, 11));
  const int before = at::get_num_threads();
  for (const int64_t rows : {1, 3, 40}) {
    const auto x = numbers(rows * k, 12);
    at::set_num_threads(1);
    const auto one = e.product(x, rows);
    at::set_num_threads(3);
    EXPECT_EQ(e.product(x, rows), one);
  }
  at::set_num_threads(before);
}

TEST_P(Packed, RowsComeBackAsTheyAreStored) {
  const int64_t n = 37, k = 91;
  const Example e(n, k, GetParam(), numbers(n * k, 13));
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t j = 0; j < n; ++j) {
    e.matrix.row(j, row.data());
    EXPECT_EQ(row, std::vector<float>(e.stored.begin() + j * k, e.stored.begin() + (j + 1) * k));
  }
}

TEST(PackedMatrix, RoundsToNearestEvenAndKeepsWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> weight = {
      1 + 0x1p-8F, 1 + 0x3p-8F, 1 + 0x1.01p-8F, -3, infinity, nan, std::bit_cast<float>(0x7fffffffU)};
  const Example e(1, 7, Precision::bfloat16, weight);
  std::vector<float> row(7);
  e.matrix.row(0, row.data());
  EXPECT_EQ(row[0], 1);
  EXPECT_EQ(row[1], 1 + 0x1p-6F);
  EXPECT_EQ(row[2], 1 + 0x1p-7F);
  EXPECT_EQ(row[3], -3);
  EXPECT_EQ(row[4], infinity);
  EXPECT_TRUE(std::isnan(row[5]) && std::isnan(row[6]));
}

TEST(Vector, ExponentialIsRightToTwoTenMillionths) {
  double worst = 0;
  for (double at = -86.9; at < 88; at += 1.7e-4) {
    const auto x = static_cast<float>(at);
    const double exact = std::exp(double{x});
    worst = std::max(worst, std::abs(exponential(broadcast(x))[kLanes - 1] / exact - 1));
  }
  EXPECT_LT(worst, 2e-7);
  EXPECT_EQ(exponential(Floats{})[0], 1);
  EXPECT_EQ(exponential(broadcast(-88))[0], 0);
  EXPECT_EQ(exponential(broadcast(-1e30F))[0], 0);
  EXPECT_TRUE(std::isnan(exponential(broadcast(std::numeric_limits<float>::quiet_NaN()))[0]));
}

}  // namespace
}  // namespace tightrope
