// The HDF5 wrapper on 1, 2 and 4 ranks: slabs, checksums, growing tables, and errors that name file and dataset.
#include "tightrope/base/hdf5.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "../tools/file_fixture.hpp"
#include "tightrope/base/io_thread.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

class Hdf5 : public SharedFolder {};

// What rank r writes: 1000 r + i, none on rank 1.
std::vector<int64_t> slab_of(int rank) {
  std::vector<int64_t> slab(rank == 1 ? 0 : 100 + 7 * static_cast<size_t>(rank));
  std::iota(slab.begin(), slab.end(), 1000 * rank);
  return slab;
}

TEST_F(Hdf5, RanksWriteSlabsThatAnyoneReadsWithTheirChecksums) {
  const auto mine = slab_of(world_.rank());
  auto file = h5::File::create(path("slabs.h5"), world_);
  file.set_attribute("/", "format", std::string("a test, in UTF-8: \xC3\xA9"));
  file.write<int64_t>("/store/ids", mine, "1", "ids of the records");
  file.set_attribute("/store", "count", int64_t{-5});
  file.set_attribute("/store", "rate", 0.1);
  file.set_attribute("/store", "list", std::vector<uint64_t>{7, ~uint64_t{0}});
  file.close();
  world_.barrier();

  const auto in = h5::File::open(path("slabs.h5"));
  std::vector<int64_t> expected, counts;
  for (int r = 0; r < world_.size(); ++r) {
    const auto slab = slab_of(r);
    expected.insert(expected.end(), slab.begin(), slab.end());
    counts.push_back(static_cast<int64_t>(slab.size()));
  }
  EXPECT_EQ(in.read<int64_t>("/store/ids"), expected);
  EXPECT_EQ(in.slabs("/store/ids"), counts);
  EXPECT_EQ(in.read_slab<int64_t>("/store/ids", world_.rank()), mine);
  EXPECT_EQ(in.read<int64_t>("/store/ids", 3, 2), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(in.text_attribute("/store/ids", "unit"), "1");
  EXPECT_EQ(in.text_attribute("/", "format"), "a test, in UTF-8: \xC3\xA9");
  EXPECT_EQ(in.integer_attribute("/store", "count"), -5);
  EXPECT_EQ(in.real_attribute("/store", "rate"), 0.1);
  EXPECT_EQ(in.members("/"), (std::vector<std::string>{"store"}));
  EXPECT_EQ(in.attribute_names("/store"), (std::vector<std::string>{"count", "list", "rate"}));
  EXPECT_EQ(in.attribute_as_text("/store", "list"), "7, 18446744073709551615");
  EXPECT_EQ(in.attribute_as_text("/store", "rate"), "0.1");
  EXPECT_EQ(in.shape("/store/ids"), (std::vector<int64_t>{static_cast<int64_t>(expected.size())}));
  EXPECT_EQ(in.type_name("/store/ids"), "int64");
  EXPECT_TRUE(in.is_group("/store") && !in.is_group("/store/ids"));
  EXPECT_TRUE(in.has("/store/ids"));
  EXPECT_FALSE(in.has("/nothing/here"));
}

TEST_F(Hdf5, AllRanksMayHaveNothing) {
  auto file = h5::File::create(path("empty.h5"), world_);
  file.write<float>("/nothing", std::span<const float>(), "1", "no values");
  file.close();
  world_.barrier();
  EXPECT_TRUE(h5::File::open(path("empty.h5")).read<float>("/nothing").empty());
}

TEST_F(Hdf5, LargeSlabsOfEveryRankArrive) {
  std::vector<int64_t> mine(3'000'000 + 1000 * static_cast<size_t>(world_.rank()));  // 24 MB: several pieces
  std::iota(mine.begin(), mine.end(), int64_t{1} << (40 + world_.rank()));
  auto file = h5::File::create(path("pieces.h5"), world_);
  file.write<int64_t>("/values", mine, "1", "");
  file.close();
  world_.barrier();
  EXPECT_EQ(h5::File::open(path("pieces.h5")).read_slab<int64_t>("/values", world_.rank()), mine);
}

TEST_F(Hdf5, ParallelWritesRunOnTheIoThreadWithItsOwnCommunicator) {
  const mpi::Comm comm = world_.duplicate();
  IoThread io;
  for (int round = 0; round < 20; ++round) {
    const std::vector<float> values(1000 + 10 * static_cast<size_t>(world_.rank()), static_cast<float>(round));
    auto done = io.submit([&] {
      auto file = h5::File::create(path("io.h5"), comm);
      file.write<float>("/w", values, "1", "weights");
      file.close();
    });
    world_.barrier();  // MPI goes on meanwhile
    done.get();
    world_.barrier();
    io.run([&] { EXPECT_EQ(h5::File::open(path("io.h5")).read_slab<float>("/w", world_.rank()), values); });
    world_.barrier();
  }
}

TEST_F(Hdf5, LargeTextsAndManyAttributesFit) {
  const std::string text(200000, 'x');
  auto file = h5::File::create(path("large.h5"), world_);
  file.set_attribute("/", "deck", text);
  for (int i = 0; i < 200; ++i) file.set_attribute("/", std::string("a").append(std::to_string(i)), int64_t{i});
  file.set_attribute("/", "a7", int64_t{70});
  file.close();
  world_.barrier();
  const auto in = h5::File::open(path("large.h5"));
  EXPECT_EQ(in.text_attribute("/", "deck"), text);
  EXPECT_EQ(in.integer_attribute("/", "a7"), 70);
  EXPECT_EQ(in.attribute_names("/").size(), 201u);
}

TEST_F(Hdf5, ADamagedSlabIsFoundAndTheOthersStillRead) {
  const std::string mark = "rank 0 writes this";
  auto file = h5::File::create(path("damaged.h5"), world_);
  const std::vector<uint8_t> first(mark.begin(), mark.end()), other(50, 9);
  file.write<uint8_t>("/store/bytes", world_.rank() == 0 ? first : other, "bytes", "");
  file.close();
  world_.barrier();
  if (world_.rank() == 0) damage_at(path("damaged.h5"), mark);
  world_.barrier();
  const auto in = h5::File::open(path("damaged.h5"));
  const std::string problem = message_of([&] { in.read<uint8_t>("/store/bytes"); });
  EXPECT_NE(problem.find("dataset '/store/bytes' of '" + path("damaged.h5") + "' is damaged"), std::string::npos)
      << problem;
  EXPECT_NE(problem.find("slab 0"), std::string::npos) << problem;
  EXPECT_NE(message_of([&] { in.verify_slab("/store/bytes", 0); }), "no failure");
  if (world_.size() > 1) {
    EXPECT_EQ(in.read_slab<uint8_t>("/store/bytes", 1), other);
    in.verify_slab("/store/bytes", 1);
  }
}

TEST_F(Hdf5, NoFlippedBitGoesUnseen) {
  const std::string name = path("sealed.h5");
  auto file = h5::File::create(name, world_);
  file.set_attribute("/", "deck", std::string(300, 'd'));
  for (int i = 0; i < 10; ++i) file.write<int64_t>("/many/d" + std::to_string(i), slab_of(world_.rank()), "1", "");
  file.close();
  world_.barrier();
  if (world_.rank() != 0) return;
  const auto read = [&] {
    const auto in = h5::File::open(name);
    for (const auto& dataset : in.members("/many")) in.read<int64_t>("/many/" + dataset);
  };
  read();
  const auto bytes = static_cast<uint64_t>(fs::file_size(name));
  for (uint64_t i = 0; i < 1000; ++i) {
    const uint64_t at = i * 0x9e3779b97f4a7c15ull % bytes;
    std::fstream stream(name, std::ios::in | std::ios::out | std::ios::binary);
    const auto flip = [&] {
      stream.seekg(static_cast<std::streamoff>(at));
      const auto was = static_cast<char>(stream.get());
      stream.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(was ^ (1 << i % 8))).flush();
    };
    flip();
    ASSERT_TRUE(has(message_of(read), "sealed.h5'")) << "byte " << at;
    flip();
  }
  read();
  auto again = h5::File::reopen(name);  // what is changed by the wrapper is sealed anew
  again.set_attribute("/", "deck", std::string("another"));
  again.close();
  read();
  fs::resize_file(name, bytes - 1);
  EXPECT_TRUE(has(message_of(read), "it is truncated"));
}

TEST_F(Hdf5, TablesGrowAndAreReadWhileTheyGrow) {
  auto file = h5::File::create(own("table.h5"));
  file.make_table("/training/loss", h5::Type::float64, 0, "nats^2", "mean loss");
  file.make_table("/training/bins", h5::Type::float64, 3, "1", "histogram");
  for (int64_t row = 0; row < 1000; ++row) {
    const double loss = static_cast<double>(row);
    const double bins[] = {loss, loss + 1, loss + 2};
    file.append_row("/training/loss", h5::Type::float64, std::as_bytes(std::span(&loss, 1)));
    file.append_row("/training/bins", h5::Type::float64, std::as_bytes(std::span(bins)));
    if (row % 250 != 249) continue;
    file.flush();
    // The reader of another process, as far as HDF5 can tell: a second opening of a file that is being written.
    const std::string copy = own("copy.h5");
    fs::copy_file(own("table.h5"), copy, fs::copy_options::overwrite_existing);
    EXPECT_EQ(h5::File::open(copy).read<double>("/training/loss", 0, row + 1).back(), loss);
  }
  file.set_rows("/training/loss", 10);
  file.set_rows("/training/loss", 12);
  file.close();

  auto in = h5::File::reopen(own("table.h5"));
  const auto loss = in.read<double>("/training/loss", 0, 12);
  EXPECT_EQ(loss[9], 9);
  EXPECT_TRUE(std::isnan(loss[10])) << "new rows hold NaN";
  EXPECT_EQ(in.table_width("/training/bins"), 3);
  EXPECT_EQ(in.length("/training/bins"), 1000);
  const double two[] = {1, 2};
  const std::string problem =
      message_of([&] { in.append_row("/training/bins", h5::Type::float64, std::as_bytes(std::span(two))); });
  EXPECT_NE(problem.find("a row holds 3 values, not 2"), std::string::npos) << problem;
}

TEST_F(Hdf5, ErrorsNameFileAndDataset) {
  std::string problem = message_of([&] { h5::File::open(path("none.h5")); });
  EXPECT_TRUE(has(problem, "none.h5") && has(problem, "no such file")) << problem;

  std::ofstream(own("text.h5")) << std::string(5000, 'a');
  problem = message_of([&] { h5::File::open(own("text.h5")); });
  EXPECT_TRUE(has(problem, "text.h5") && has(problem, "not an HDF5 file")) << problem;

  {
    auto file = h5::File::create(own("good.h5"));
    file.write<double>("/values", std::vector<double>(10000, 1.0), "1", "");
    file.close();
  }
  fs::copy_file(own("good.h5"), own("cut.h5"));
  fs::resize_file(own("cut.h5"), 4000);
  problem = message_of([&] { h5::File::open(own("cut.h5")); });
  EXPECT_TRUE(has(problem, "cut.h5") && has(problem, "truncated")) << problem;

  const auto in = h5::File::open(own("good.h5"));
  problem = message_of([&] { in.read<double>("/other"); });
  EXPECT_TRUE(has(problem, "dataset '/other' of '" + own("good.h5") + "'")) << problem;
  problem = message_of([&] { in.read<int64_t>("/values"); });
  EXPECT_TRUE(has(problem, "it holds float64, not int64")) << problem;
  problem = message_of([&] { in.text_attribute("/", "deck"); });
  EXPECT_TRUE(has(problem, "attribute 'deck' of '/'") && has(problem, "good.h5")) << problem;
  problem = message_of([&] { in.read_slab<double>("/values", 1); });
  EXPECT_TRUE(has(problem, "slab 1") && has(problem, "1 slabs")) << problem;
  problem = message_of([&] { h5::File::create("/nowhere/x.h5"); });
  EXPECT_TRUE(has(problem, "cannot create '/nowhere/x.h5'") && has(problem, "No such file or directory")) << problem;
}

TEST_F(Hdf5, AWriteThatDoesNotFitIsAnError) {
  const std::vector<double> values(1 << 17, 1.0);
  std::string problem;
  {
    const FileLimit limit(1 << 16);
    problem = message_of([&] {
      auto file = h5::File::create(own("full.h5"));
      file.write<double>("/values", values, "1", "");
      file.close();
    });
  }
  EXPECT_NE(problem.find("full.h5"), std::string::npos) << problem;
  EXPECT_NE(problem.find("File too large"), std::string::npos) << problem;
  auto file = h5::File::create(own("after.h5"));  // the library still works
  file.write<double>("/values", values, "1", "");
  file.close();
  EXPECT_EQ(h5::File::open(own("after.h5")).read<double>("/values"), values);
}

}  // namespace
}  // namespace tightrope
