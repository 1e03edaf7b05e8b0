// Reading, writing and converting; damaged files: safetensors_damage_test.cpp.
#include "tightrope/base/safetensors.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <limits>
#include <random>

#include "file_fixture.hpp"

namespace tightrope {
namespace {

using namespace file_fixture;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsTensor& tensor = *file.find(name);
  std::vector<float> values((tensor.end - tensor.begin) / static_cast<size_t>(dtype_bytes(tensor.dtype)));
  to_float32(file.bytes(tensor), tensor.dtype, values);
  return values;
}

float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Safetensors, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  const std::vector<float> matrix = {1, -2.5, 3e-41F, 3e38F, 0, -0.0F}, scalar = {7}, nothing;
  const std::vector<TensorToWrite> tensors = {
      {"b", {2, 3}, matrix}, {"empty", {0, 4}, nothing}, {"a \"quoted\" é", {}, scalar}};
  write_safetensors(folder / "x.safetensors", tensors, Dtype::float32, {{"format", "pt"}});
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x.safetensors"});

  const SafetensorsFile file(folder / "x.safetensors");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.find("b")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(file.find("a \"quoted\" é")->shape, std::vector<int64_t>{});
  EXPECT_EQ(floats(file, "b"), matrix);
  EXPECT_TRUE(std::signbit(floats(file, "b")[5]));
  EXPECT_EQ(floats(file, "a \"quoted\" é"), scalar);
  EXPECT_TRUE(floats(file, "empty").empty());
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(file.tensors().front().begin % 8, 0U);
  EXPECT_TRUE(has(read(folder / "x.safetensors"), R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32")"));
}

TEST(Safetensors, Bfloat16IsWrittenRoundedOverBlocksToo) {
  const TemporaryFolder folder;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values((1 << 20) + 12345), expected;
  for (float& value : values)
    expected.push_back(from_bits(static_cast<uint32_t>(to_bfloat16(value = normal(random))) << 16));
  write_safetensors(folder / "x", std::vector<TensorToWrite>{{"w", {static_cast<int64_t>(values.size())}, values}},
                    Dtype::bfloat16, {});
  const SafetensorsFile file(folder / "x");
  EXPECT_EQ(file.find("w")->dtype, Dtype::bfloat16);
  EXPECT_EQ(floats(file, "w"), expected);
}

TEST(Safetensors, NothingIsLeftWhereTheFileCannotBeWritten) {
  const TemporaryFolder folder;
  const std::vector<float> values(100000, 1.0F);
  const std::vector<TensorToWrite> tensors = {{"w", {100000}, values}};
  write(folder / "x", "the old one");
  rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small = {65536, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // write then fails as on a full disk
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string text = failure_of([&] { write_safetensors(folder / "x", tensors, Dtype::float32, {}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(has(text, "cannot write '" + (folder / "x.tmp") + "' (File too large)"));
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x"});
  EXPECT_EQ(read(folder / "x"), "the old one");

  fs::create_directory(folder / "d");
  EXPECT_TRUE(has(failure_of([&] { write_safetensors(folder / "d", tensors, Dtype::float32, {}); }), "Is a directory"));
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"d", "x"}));
  EXPECT_TRUE(has(failure_of([&] { write_safetensors(folder / "no/x", tensors, Dtype::float32, {}); }),
                  "No such file or directory"));
}

TEST(Safetensors, FilesThatCannotBeMappedAreNamed) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(failure_of([&] { SafetensorsFile(folder / "none"); }),
                  "cannot read '" + (folder / "none") + "' (No such file or directory)"));
  EXPECT_TRUE(has(failure_of([&] { SafetensorsFile(folder.path()); }), "it is not a regular file"));
  write(folder / "empty", "");
  EXPECT_TRUE(has(failure_of([&] { SafetensorsFile(folder / "empty"); }), "it has 0 bytes"));
}

// IEEE 754-2008: half = (-1)^s 2^(e-15) (1 + f / 1024), e = 0: 2^-14 f / 1024, e = 31: infinity or NaN.
TEST(Safetensors, EveryFloat16IsExact) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> values(halves.size());
  to_float32(std::as_bytes(std::span(halves)), Dtype::float16, values);
  for (int i = 0; i < 65536; ++i) {
    const int exponent = i >> 10 & 31, fraction = i & 1023;
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    const float value = values[static_cast<size_t>(i)];
    ASSERT_EQ(std::signbit(value), i >= 32768) << i;
    if (exponent < 31) {
      ASSERT_EQ(std::abs(value), size) << i;
    } else {
      ASSERT_TRUE(fraction == 0 ? std::isinf(value) : std::isnan(value)) << i;
    }
  }
}

TEST(Safetensors, BytesNeedNoAlignment) {
  const std::vector<float> values = {1.5F, -2};
  std::vector<std::byte> bytes(9);
  std::ranges::copy(std::as_bytes(std::span(values)), bytes.begin() + 1);
  std::vector<float> read_back(2), halves(4);
  to_float32(std::span(bytes).subspan(1), Dtype::float32, read_back);
  EXPECT_EQ(read_back, values);
  to_float32(std::span(bytes).subspan(1), Dtype::bfloat16, halves);
  EXPECT_EQ(halves, (std::vector<float>{0, 1.5F, 0, -2}));
}

TEST(Safetensors, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(to_bfloat16(1.0F), 0x3f80);
  EXPECT_EQ(to_bfloat16(from_bits(0x3f808000)), 0x3f80);  // tie, even below
  EXPECT_EQ(to_bfloat16(from_bits(0x3f808001)), 0x3f81);  // just above a tie
  EXPECT_EQ(to_bfloat16(from_bits(0x3f818000)), 0x3f82);  // tie, even above
  EXPECT_EQ(to_bfloat16(from_bits(0x3f817fff)), 0x3f81);  // just below a tie
  EXPECT_EQ(to_bfloat16(from_bits(0xbf818000)), 0xbf82);
  EXPECT_EQ(to_bfloat16(from_bits(0x3fffffff)), 0x4000);  // carries into the exponent
  EXPECT_EQ(to_bfloat16(from_bits(0x7f7fffff)), 0x7f80);  // the largest float32 is nearer to infinity
  EXPECT_EQ(to_bfloat16(from_bits(0x7f7f7fff)), 0x7f7f);
  EXPECT_EQ(to_bfloat16(infinity), 0x7f80);
  EXPECT_EQ(to_bfloat16(-infinity), 0xff80);
  EXPECT_EQ(to_bfloat16(-0.0F), 0x8000);
  EXPECT_EQ(to_bfloat16(from_bits(0x00008000)), 0);  // a subnormal tie
  EXPECT_EQ(to_bfloat16(from_bits(0x00018000)), 2);
  for (const uint32_t nan : {0x7f800001U, 0x7fffffffU, 0xff800001U, 0xffffffffU})
    EXPECT_TRUE(std::isnan(from_bits(static_cast<uint32_t>(to_bfloat16(from_bits(nan))) << 16))) << nan;
}

// Against the definition: of the two neighbours the nearer, of two equally near the even.
TEST(Safetensors, Bfloat16IsTheNearest) {
  std::mt19937 random(2);
  for (int i = 0; i < 100000; ++i) {
    const uint32_t bits = random() & 0xff7fffff;
    const float value = from_bits(bits);
    if (!std::isfinite(value) || std::abs(value) > 3e38F) continue;
    const double below = from_bits(bits & 0xffff0000), above = from_bits((bits & 0xffff0000) + 0x10000);
    const double down = std::abs(value - below), up = std::abs(above - value);
    const bool take_above = up < down || (up == down && (bits >> 16 & 1) != 0);
    ASSERT_EQ(from_bits(static_cast<uint32_t>(to_bfloat16(value)) << 16), take_above ? above : below) << bits;
  }
}

TEST(Safetensors, AllFiniteFindsOneBadValueAnywhere) {
  std::vector<float> values(37, 3.4e38F);
  EXPECT_TRUE(all_finite(values));
  EXPECT_TRUE(all_finite({}));
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), from_bits(0x7f800001)}) {
    for (float& value : values) {
      const float good = std::exchange(value, bad);
      EXPECT_FALSE(all_finite(values));
      value = good;
    }
  }
  EXPECT_TRUE(all_finite(values));
}

}  // namespace
}  // namespace tightrope
