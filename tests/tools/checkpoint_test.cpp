// Checkpoints on 1, 2 and 4 trainers: everything comes back, damage is found, the old one survives a failure.
#include "tightrope/run/checkpoint.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "file_fixture.hpp"
#include "tightrope/base/hdf5.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

std::vector<float> ramp(size_t size, float first) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// Trainer r of n keeps 5 r records (trainer 0 none) of 8, 16, 24 ... bytes.
void fill_store(CheckpointData& data, int rank) {
  data.offsets = {0};
  for (int64_t i = 0; i < 5 * rank; ++i) {
    IndexEntry entry;
    entry.slot = 100 - i;
    entry.query = rank;
    entry.id = -i;
    entry.version = 3 * i;
    entry.length = i + 1;
    entry.uses = 2;
    entry.ticket = std::numeric_limits<uint64_t>::max() - 100 + static_cast<uint64_t>(i);
    entry.content = 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(i + 1);
    entry.log_reward = -0.1 * static_cast<double>(i);
    data.index.entries.push_back(entry);
    data.offsets.push_back(data.offsets.back() + 8 * (i + 1));
  }
  data.records.resize(static_cast<size_t>(data.offsets.back()), std::byte{static_cast<uint8_t>(rank)});
  data.index.counters = {rank, 10 * rank, 7};
  data.own["visits"].assign(static_cast<size_t>(rank), 42);
}

CheckpointData example(const mpi::Comm& comm, int64_t step, size_t weights = 1001) {
  CheckpointData data;
  data.deck = "[trainer]\nlearning_rate = 1e-3\n";
  data.task = "hypergrid";
  data.build = {"tightrope 0.1.0", "git 0123"};
  data.step = step;
  data.ranks = 4;
  data.trainers = comm.size();
  data.searchers = 3;
  SavedParameters policy;
  policy.name = "policy";
  policy.rows = {{"trunk.weight", "network", {10, 100}, 0}, {"log_z", "log_z", {}, 1000}};
  policy.arrays = {{"weights", ramp(weights, 0)}, {"adam_first", ramp(weights, 0.5f)}, {"adam_second", {}}};
  data.parameters.push_back(policy);
  data.scalars = {{"seconds", 12.25}, {"not_a_number", std::nan("")}, {"infinite", INFINITY}};
  data.integers = {{"trajectories", 64000}, {"negative", -1}};
  data.clocks = {{"policy", step}, {"reference", 0}};
  data.searcher_cursors = {5, 6, 7};
  fill_store(data, comm.rank());
  return data;
}

void expect_equal(const CheckpointData& a, const CheckpointData& b) {
  EXPECT_EQ(a.deck, b.deck);
  EXPECT_EQ(a.build, b.build);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.searchers, b.searchers);
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  EXPECT_EQ(a.parameters[0].arrays, b.parameters[0].arrays);
  EXPECT_EQ(a.parameters[0].rows[0].shape, b.parameters[0].rows[0].shape);
  EXPECT_EQ(a.parameters[0].rows[1].group, b.parameters[0].rows[1].group);
  EXPECT_EQ(a.parameters[0].rows[1].offset, b.parameters[0].rows[1].offset);
  EXPECT_EQ(a.scalars.at("seconds"), b.scalars.at("seconds"));
  EXPECT_TRUE(std::isnan(b.scalars.at("not_a_number")));
  EXPECT_EQ(a.scalars.at("infinite"), b.scalars.at("infinite"));
  EXPECT_EQ(a.integers, b.integers);
  EXPECT_EQ(a.clocks, b.clocks);
  EXPECT_EQ(a.searcher_cursors, b.searcher_cursors);
  EXPECT_EQ(a.records, b.records);
  EXPECT_EQ(a.offsets, b.offsets);
  EXPECT_EQ(a.index.counters, b.index.counters);
  EXPECT_EQ(a.own, b.own);
  ASSERT_EQ(a.index.entries.size(), b.index.entries.size());
  for (size_t i = 0; i < a.index.entries.size(); ++i) {
    const IndexEntry &x = a.index.entries[i], &y = b.index.entries[i];
    EXPECT_EQ(std::tie(x.query, x.id, x.version, x.length, x.content, x.log_reward, x.ticket, x.slot, x.uses),
              std::tie(y.query, y.id, y.version, y.length, y.content, y.log_reward, y.ticket, y.slot, y.uses));
  }
}

class Checkpoints : public SharedFolder {
 protected:
  std::string write(int64_t step, int64_t keep = 3) {
    const std::string file = write_checkpoint(world_, folder_, example(world_, step), keep);
    world_.barrier();
    return file;
  }
  std::string find() {
    said_.clear();
    return find_checkpoint(folder_, [&](const std::string& sentence) { said_ += sentence + "\n"; });
  }
  // Rank 0 changes something on the disk while the others wait.
  template <class Change>
  void on_disk(Change change) {
    world_.barrier();
    if (world_.rank() == 0) change();
    world_.barrier();
  }
  std::string said_;
};

TEST_F(Checkpoints, EverythingComesBack) {
  const std::string file = write(120);
  EXPECT_EQ(file, path("checkpoint-120.h5"));
  EXPECT_EQ(find(), file);
  EXPECT_EQ(said_, "");
  expect_equal(example(world_, 120), read_checkpoint(file, world_.rank()));
  EXPECT_FALSE(fs::exists(file + ".tmp"));
}

TEST_F(Checkpoints, TheLastFewAreKeptAndLatestNamesTheNewest) {
  for (const int64_t step : {10, 20, 30, 40}) write(step, 2);
  EXPECT_FALSE(fs::exists(path("checkpoint-20.h5")));
  EXPECT_TRUE(fs::exists(path("checkpoint-30.h5")));
  EXPECT_EQ(find(), path("checkpoint-40.h5"));
  write(25, 2);  // a run that went back
  EXPECT_EQ(find(), path("checkpoint-25.h5"));
  EXPECT_TRUE(fs::exists(path("checkpoint-40.h5")));
}

TEST_F(Checkpoints, WhatIsDamagedIsSkippedWithASentence) {
  for (const int64_t step : {1, 2, 3, 4}) write(step, 9);
  on_disk([&] {
    const float mark[] = {500, 501, 502, 503};
    damage_at(path("checkpoint-4.h5"), {reinterpret_cast<const char*>(mark), sizeof mark});
    fs::resize_file(path("checkpoint-3.h5"), 5000);
    std::ofstream(path("checkpoint-9.h5.tmp")) << "left by a kill";
  });
  EXPECT_EQ(find(), path("checkpoint-2.h5"));
  EXPECT_TRUE(has(said_, "checkpoint-4.h5' is skipped (dataset '/parameters/policy/weights'"));
  EXPECT_TRUE(has(said_, "checkpoint-3.h5' is skipped"));
  EXPECT_TRUE(has(message_of([&] { read_checkpoint(path("checkpoint-4.h5"), world_.rank()); }), "is damaged"));
  EXPECT_TRUE(has(message_of([&] { read_checkpoint(path("checkpoint-3.h5"), world_.rank()); }), "truncated"));
  on_disk([&] { fs::remove(path("checkpoint-4.h5")); });
  EXPECT_EQ(find(), path("checkpoint-2.h5"));
  EXPECT_TRUE(has(said_, "LATEST in '" + folder_ + "' names 'checkpoint-4.h5', which is not there"));
}

TEST_F(Checkpoints, AnEmptyFolderHasNone) {
  EXPECT_EQ(find(), "");
  EXPECT_EQ(find_checkpoint(path("nowhere"), [](const std::string&) {}), "");
}

TEST_F(Checkpoints, OtherFilesAndNewerFormatsAreRefused) {
  const std::string file = write(5);
  on_disk([&] {
    auto newer = h5::File::reopen(file);
    newer.set_attribute("/", "format_version", int64_t{2});
    newer.close();
    auto other = h5::File::create(path("other.h5"));
    other.close();
  });
  const std::string sentence = "its format version is 2, and this program reads up to version 1";
  EXPECT_TRUE(has(message_of([&] { read_checkpoint(file, 0); }), sentence));
  EXPECT_TRUE(has(message_of([&] { find(); }), sentence));
  EXPECT_TRUE(has(message_of([&] { read_checkpoint(path("other.h5"), 0); }), "it is not a checkpoint of tightrope"));
}

TEST_F(Checkpoints, ATrainerTooManyIsRefused) {
  const std::string file = write(5);
  EXPECT_TRUE(has(message_of([&] { read_checkpoint(file, world_.size()); }),
                  "it was written by " + std::to_string(world_.size()) + " trainers"));
}

TEST_F(Checkpoints, AFullDiskLeavesTheOldOne) {
  const std::string old = write(1);
  std::string problem;
  {
    const FileLimit limit(100000);
    problem = message_of([&] { write_checkpoint(world_, folder_, example(world_, 2, 200000), 1); });
  }
  EXPECT_TRUE(has(problem, "checkpoint-2.h5.tmp"));
  world_.barrier();
  EXPECT_EQ(find(), old);
  expect_equal(example(world_, 1), read_checkpoint(old, world_.rank()));
}

}  // namespace
}  // namespace tightrope
