#include "tightrope/base/mapped_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "file_fixture.hpp"

namespace tightrope {
namespace {

using namespace file_fixture;

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string pattern(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

TEST(MappedFile, SurvivesAMove) {
  const TemporaryFolder folder;
  write(folder / "x", "text");
  MappedFile first(folder / "x");
  MappedFile second(std::move(first));
  write(folder / "y", "other");
  first = MappedFile(folder / "y");
  std::swap(first, second);
  EXPECT_EQ(text_of(first), "text");
  EXPECT_EQ(text_of(second), "other");
}

TEST(MappedFile, WhatIsFetchedAheadIsTheFile) {
  const TemporaryFolder folder;
  const std::string text = pattern((size_t{5} << 20) + 3);
  write(folder / "x", text);
  MappedFile file(folder / "x");
  file.expect_all();
  file.fetch_ahead({file.bytes().subspan(4097), {}, file.bytes().first(5)});
  file.fetch(file.bytes().last(1));
  EXPECT_EQ(text_of(file), text);
  file.fetch_ahead({file.bytes()});  // the first thread has ended; this one goes along
  const MappedFile moved(std::move(file));
  EXPECT_EQ(text_of(moved), text);
}

// As a disk that fails: touching such a byte is a SIGBUS.
TEST(MappedFile, BytesThatCannotBeReadAreAFailure) {
  const TemporaryFolder folder;
  write(folder / "x", pattern(100000));
  MappedFile file(folder / "x");
  std::filesystem::resize_file(folder / "x", 10000);
  EXPECT_NO_THROW(file.fetch(file.bytes().first(10000)));
  EXPECT_TRUE(has(failure_of([&] { file.fetch(file.bytes()); }),
                  "cannot read '" + (folder / "x") + "' (the disk does not give all of its bytes)"));
  file.fetch_ahead({file.bytes()});  // ends without a word
}

}  // namespace
}  // namespace tightrope
