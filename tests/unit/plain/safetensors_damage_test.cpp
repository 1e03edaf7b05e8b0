// Damaged headers: each error by name, and that no damage does worse than a Failure.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "file_fixture.hpp"
#include "tightrope/base/safetensors.hpp"

namespace tightrope {
namespace {

using namespace file_fixture;

std::string with_length(const std::string& header, uint64_t data, uint64_t length) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(length >> (8 * i) & 0xff);
  return file + header + std::string(data, '\0');
}

std::vector<SafetensorsTensor> parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), file.size(), "f");
}

std::string problem(const std::string& header, uint64_t data) {
  return failure_of([&] { parse(with_length(header, data, header.size())); });
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& range) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + range + "}";
}

std::string braced(const std::vector<std::string>& entries) {
  std::string text = "{";
  for (const std::string& one : entries) text.append(text.size() > 1 ? "," : "").append(one);
  return text.append("}");
}

const std::string good_header = braced({R"("__metadata__":{"format":"pt"})", entry("w", "F32", "[2,3]", "[0,24]"),
                                        entry("v", "BF16", "[3]", "[24,30]"), entry("none", "F16", "[0]", "[24,24]")}) +
                                "  ";

TEST(SafetensorsDamage, AGoodHeaderIsRead) {
  const std::string file = with_length(good_header, 30, good_header.size());
  const auto tensors = parse(file);
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].name, "w");
  EXPECT_EQ(tensors[1].name, "none");
  EXPECT_EQ(tensors[2].name, "v");
  EXPECT_EQ(tensors[2].dtype, Dtype::bfloat16);
  EXPECT_EQ(tensors[2].begin, 8 + good_header.size() + 24);
  EXPECT_EQ(tensors[2].end, file.size());
  // The header alone will do.
  const auto start = std::as_bytes(std::span(file)).first(8 + good_header.size());
  EXPECT_EQ(parse_safetensors_header(start, file.size(), "f").size(), 3U);
  EXPECT_TRUE(parse(with_length("{}", 0, 2)).empty());
}

TEST(SafetensorsDamage, EveryErrorOfTheHeaderIsNamed) {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& range) {
    return braced({entry("w", dtype, shape, range)});
  };
  struct Case {
    std::string header;
    uint64_t data;
    std::string says;
  };
  const std::vector<Case> cases = {
      {"{", 0, "'f' is not JSON (syntax error"},
      {"[1]", 0, "its header is not a JSON object"},
      {"", 0, "'f' is not JSON"},
      {std::string("{\0}", 3), 0, "'f' is not JSON"},
      {"{\"\xff\":1}", 0, "'f' is not JSON"},
      {std::string(70, '[') + std::string(70, ']'), 0, "it is nested deeper than 64"},
      {R"({"__metadata__":{"a":1}})", 0, "the __metadata__ of 'f' is broken"},
      {R"({"__metadata__":["a"]})", 0, "the __metadata__ of 'f' is broken"},
      {R"({"w":3})", 0, "tensor 'w' of 'f' is broken (its entry is not {dtype, shape, data_offsets})"},
      {R"({"w":{"dtype":"F32","shape":[]}})", 0, "its entry is not"},
      {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4, "its entry is not"},
      {one("I64", "[1]", "[0,8]"), 8, "tensor 'w' of 'f' has the dtype \"I64\" (F32, F16 and BF16 are supported)"},
      {R"({"w":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", 4, "has the dtype 32"},
      {one("F32", "1", "[0,4]"), 4, "its shape 1 is not a list"},
      {one("F32", "[-1]", "[0,4]"), 4, "its shape [-1] holds -1"},
      {one("F32", "[1.0]", "[0,4]"), 4, "its shape [1.0] holds 1.0"},
      {one("F32", "[\"1\"]", "[0,4]"), 4, "holds \"1\""},
      {one("F32", "[9223372036854775808]", "[0,4]"), 4, "holds 9223372036854775808"},
      {one("F32", "[4294967296,4294967296]", "[0,0]"), 0, "is too large for any file"},  // 2^66 = 0 modulo 2^64
      {one("F32", "[4611686018427387905]", "[0,4]"), 4, "is too large for any file"},    // 2^64 + 4
      {one("F32", "[1]", "[0]"), 4, "its data_offsets [0] are not two offsets"},
      {one("F32", "[1]", "[0,4.0]"), 4, "are not two offsets"},
      {one("F32", "[1]", "[-4,0]"), 4, "are not two offsets"},
      {one("F32", "[1]", "{}"), 4, "are not two offsets"},
      {one("F32", "[1]", "[4,0]"), 4, "run backwards"},
      {one("F32", "[2]", "[0,8]"), 4, "its data end at 8 of 4 bytes: the file is cut off"},
      {one("F32", "[1]", "[0,18446744073709551615]"), 4, "the file is cut off"},
      {one("F32", "[2]", "[0,4]"), 4, "its shape (2) in F32 does not fit 4 bytes"},
      {one("F16", "[]", "[0,4]"), 4, "its shape () in F16 does not fit 4 bytes"},
      {one("F32", "[1]", "[4,8]"), 8, "4 bytes before it belong to no tensor"},
      {one("F32", "[1]", "[0,4]"), 9, "'f' is broken (its last 5 bytes belong to no tensor)"},
      {braced({entry("w", "F32", "[2]", "[0,8]"), entry("v", "F32", "[1]", "[4,8]")}), 8,
       "tensor 'v' of 'f' is broken (its data overlap another tensor's)"},
      {braced({entry("w", "F32", "[1]", "[0,4]"), entry("w", "F32", "[1]", "[4,8]")}), 8,
       "the name \"w\" occurs twice in an object"},
      {R"({"w":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4, "the name \"dtype\" occurs twice"},
  };
  for (const Case& c : cases) EXPECT_TRUE(has(problem(c.header, c.data), c.says)) << c.header;
}

TEST(SafetensorsDamage, TheLengthOfTheHeaderIsChecked) {
  const auto says = [](uint64_t length) { return failure_of([&] { parse(with_length("{}", 0, length)); }); };
  EXPECT_EQ(says(2), "");
  EXPECT_TRUE(has(says(3), "its header has 3 bytes and the file 10"));
  EXPECT_TRUE(has(says(100'000'000), "its header has 100000000 bytes and the file 10"));
  EXPECT_TRUE(has(says(100'000'001), "its header would have 100000001 bytes; at most 100 MB"));
  EXPECT_TRUE(has(says(~uint64_t{0}), "at most 100 MB"));
  EXPECT_TRUE(has(says(~uint64_t{0} - 7), "at most 100 MB"));
}

TEST(SafetensorsDamage, EveryTruncationIsAFailure) {
  const std::string file = with_length(good_header, 30, good_header.size());
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_NE(failure_of([&] { parse(file.substr(0, size)); }), "") << size;
  EXPECT_NE(failure_of([&] { parse(file + "x"); }), "");
}

// Whatever comes back covers the data without overlap, and each shape fits its range.
void expect_well_formed(const std::vector<SafetensorsTensor>& tensors, size_t file_size) {
  std::set<std::string> names;
  uint64_t end = tensors.empty() ? file_size : tensors.front().begin;
  for (const SafetensorsTensor& tensor : tensors) {
    int64_t bytes = dtype_bytes(tensor.dtype);
    for (const int64_t size : tensor.shape) bytes *= size;
    EXPECT_EQ(static_cast<uint64_t>(bytes), tensor.end - tensor.begin);
    EXPECT_EQ(tensor.begin, end);
    EXPECT_TRUE(names.insert(tensor.name).second);
    end = tensor.end;
  }
  EXPECT_EQ(end, file_size);
}

TEST(SafetensorsDamage, NoFlippedByteDoesHarm) {
  const std::string file = with_length(good_header, 30, good_header.size());
  std::mt19937 random(3);
  int failures = 0, passed = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = file;
    damaged[random() % (8 + good_header.size())] ^= static_cast<char>(1 + random() % 255);
    const std::string text = failure_of([&] { expect_well_formed(parse(damaged), damaged.size()); });
    ++(text.empty() ? passed : failures);
  }
  EXPECT_GT(failures, 1000);  // most bytes matter
  EXPECT_GT(passed, 20);      // names and metadata may change
}

}  // namespace
}  // namespace tightrope
