#include "tightrope/base/big_vector.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace tightrope {
namespace {

TEST(BigVector, KeepsItsElementsFromSmallToBig) {
  BigVector<int64_t> values;
  for (int64_t i = 0; i < 400000; ++i) values.push_back(i);  // 3.2 MB
  const BigVector<int64_t> copy = values;
  values.resize(10);
  values.shrink_to_fit();
  for (int64_t i = 0; i < 400000; ++i) ASSERT_EQ(copy[static_cast<size_t>(i)], i);
  EXPECT_EQ(values, BigVector<int64_t>(copy.begin(), copy.begin() + 10));
}

TEST(BigVector, MakesElementsOfAClassAndAlignsBigOnes) {
  struct Row {
    int value = 7;
  };
  const BigVector<Row> rows(1 << 20);
  EXPECT_EQ(rows.front().value, 7);
  EXPECT_EQ(rows.back().value, 7);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(rows.data()) % (2 << 20), 0U);
  EXPECT_THROW(allocate_big(~size_t{0}), std::bad_alloc);
}

}  // namespace
}  // namespace tightrope
