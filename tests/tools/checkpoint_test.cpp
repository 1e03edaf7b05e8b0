// Checkpoints on 1, 2 and 4 trainers: everything comes back, damage is found, the old one survives a failure.
#include "tightrope/run/checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

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
  data.index.counters = {rank, 10 * rank, 7, 6, 5, 4, 3, 2, 1, 0, 0};
  data.own["visits"].assign(static_cast<size_t>(rank), 42);
  data.sums["interval"] = {0.5 * rank, 1};
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

CheckpointData share(const mpi::Comm& comm, CheckpointData data) {  // as a trainer gives it to be written
  for (auto& [name, values] : data.parameters[0].arrays) {
    const Extent mine = saved_share(static_cast<int64_t>(values.size()), comm.rank(), comm.size());
    values = {values.begin() + mine.offset, values.begin() + mine.end()};
  }
  return data;
}

void expect_equal(const CheckpointData& a, const CheckpointData& b) {
  EXPECT_EQ(a.deck, b.deck);
  EXPECT_EQ(a.task, b.task);
  EXPECT_EQ(a.build, b.build);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(std::tie(a.ranks, a.trainers, a.searchers), std::tie(b.ranks, b.trainers, b.searchers));
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  EXPECT_EQ(a.parameters[0].arrays, b.parameters[0].arrays);
  EXPECT_EQ(a.parameters[0].rows[0].shape, b.parameters[0].rows[0].shape);
  const auto &row = a.parameters[0].rows[1], &other = b.parameters[0].rows[1];
  EXPECT_EQ(std::tie(row.group, row.offset), std::tie(other.group, other.offset));
  EXPECT_EQ(a.scalars.at("seconds"), b.scalars.at("seconds"));
  EXPECT_TRUE(std::isnan(b.scalars.at("not_a_number")));
  EXPECT_EQ(a.scalars.at("infinite"), b.scalars.at("infinite"));
  EXPECT_EQ(a.integers, b.integers);
  EXPECT_EQ(a.clocks, b.clocks);
  EXPECT_EQ(a.searcher_cursors, b.searcher_cursors);
  EXPECT_TRUE(std::ranges::equal(a.packed(), b.packed()));
  EXPECT_EQ(a.offsets, b.offsets);
  EXPECT_EQ(a.index.counters, b.index.counters);
  EXPECT_EQ(a.own, b.own);
  EXPECT_EQ(a.sums, b.sums);
  ASSERT_EQ(a.index.entries.size(), b.index.entries.size());
  for (size_t i = 0; i < a.index.entries.size(); ++i) {
    const IndexEntry &x = a.index.entries[i], &y = b.index.entries[i];
    EXPECT_EQ(std::tie(x.query, x.id, x.version, x.length, x.content, x.log_reward, x.ticket, x.slot, x.uses),
              std::tie(y.query, y.id, y.version, y.length, y.content, y.log_reward, y.ticket, y.slot, y.uses));
  }
}

class Checkpoints : public SharedFolder {
 protected:
  std::string write(const CheckpointData& data, int64_t keep, int64_t keep_every) {
    const auto written = write_checkpoint(world_, {folder_, "", keep, keep_every}, share(world_, data));
    world_.barrier();  // trainer 0 has given the file its name
    return written.path;
  }
  std::string write(int64_t step, int64_t keep = 3, int64_t keep_every = 0) {
    return write(example(world_, step), keep, keep_every);
  }
  std::string find() { return find({folder_}); }
  std::string find(const std::vector<std::string>& folders) {
    said_.clear();
    return find_checkpoint(folders, [&](const std::string& sentence) { said_ += sentence + "\n"; });
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

TEST_F(Checkpoints, TheFirstOfEachSpanStaysForGood) {
  for (const int64_t step : {10, 30, 95, 110, 120, 190, 310, 320, 330, 340}) write(step, 2, 100);
  std::vector<int64_t> left;
  for (int64_t step = 0; step <= 340; ++step) {
    if (fs::exists(path("checkpoint-" + std::to_string(step) + ".h5"))) left.push_back(step);
  }
  EXPECT_EQ(left, (std::vector<int64_t>{110, 310, 330, 340}));
}

TEST_F(Checkpoints, ALocalLevelIsDrainedAndFound) {
  const std::string near = path("near"), far = path("far");
  on_disk([&] {
    for (const auto& folder : {near, far}) fs::create_directories(folder);
  });
  const CheckpointPlace place{far, near, 9, 0};
  for (const int64_t step : {10, 20}) {
    const auto written = write_checkpoint(world_, place, share(world_, example(world_, step)));
    EXPECT_EQ(written.path, far + "/checkpoint-" + std::to_string(step) + ".h5");
    on_disk([&] { EXPECT_EQ(written.bytes, static_cast<int64_t>(fs::file_size(written.path))); });
    world_.barrier();
  }
  EXPECT_FALSE(fs::exists(near + "/checkpoint-10.h5"));
  EXPECT_TRUE(fs::exists(far + "/checkpoint-10.h5"));
  EXPECT_EQ(find({far, near}), far + "/checkpoint-20.h5");  // its LATEST was written last
  on_disk([&] {                                             // killed before step 20 was copied
    fs::remove(far + "/checkpoint-20.h5");
    std::ofstream(far + "/LATEST") << "checkpoint-10.h5\n";
    fs::last_write_time(far + "/LATEST", fs::last_write_time(near + "/LATEST") - std::chrono::seconds(5));
  });
  EXPECT_EQ(find({far, near}), near + "/checkpoint-20.h5");
  expect_equal(example(world_, 20), read_checkpoint(near + "/checkpoint-20.h5", world_.rank()));
  EXPECT_EQ(find({far, ""}), far + "/checkpoint-10.h5");
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
  EXPECT_EQ(find({path("nowhere"), ""}), "");
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

TEST_F(Checkpoints, DraftsOfKilledRunsAreRemoved) {
  on_disk([&] { std::ofstream(path("checkpoint-9.h5.tmp")) << "left by a kill"; });
  write(10);
  EXPECT_FALSE(fs::exists(path("checkpoint-9.h5.tmp")));
}

// Another number of trainers: each new one takes what it owns from all stores.
TEST_F(Checkpoints, StoresAreSharedOutAnew) {
  const std::string file = write(5);
  std::vector<int64_t> sizes;
  for (int64_t store = 0; store < 2; ++store) {
    ReplayMerge merge({}, 1000, store, 2, [](int64_t, int64_t id) { return -id % 2; });
    const CheckpointData data = read_checkpoint(file, merge);
    EXPECT_EQ(data.parameters[0].arrays, example(world_, 5).parameters[0].arrays);
    EXPECT_EQ(data.sums.at("interval")[1], world_.size());
    ASSERT_EQ(data.offsets.size(), data.index.entries.size() + 1);
    for (size_t i = 0; i < data.index.entries.size(); ++i) {
      const IndexEntry& entry = data.index.entries[i];
      EXPECT_EQ(-entry.id % 2, store);
      EXPECT_EQ(data.offsets[i + 1] - data.offsets[i], 8 * (1 - entry.id));
      EXPECT_EQ(data.record(i)[0], std::byte{static_cast<uint8_t>(entry.query)});
    }
    sizes.push_back(static_cast<int64_t>(data.index.entries.size()));
  }
  EXPECT_EQ(sizes[0] + sizes[1], 5 * world_.size() * (world_.size() - 1) / 2);
}

// A flipped bit is found, or it is where nothing is: then everything still comes back.
TEST_F(Checkpoints, AThousandFlippedBits) {
  CheckpointData whole_data = example(world_, 1);
  whole_data.index.entries.clear();
  fill_store(whole_data, 3 + world_.rank());
  const std::string file = write(whole_data, 1, 0);
  const std::string other = path("flipped-" + std::to_string(world_.rank()) + ".h5");
  std::ifstream in(file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  std::mt19937_64 random(5);
  int64_t found[1] = {0};
  for (int i = 0; i < 1000; ++i) {
    const uint64_t bit = random() % (8 * whole.size());
    if (i % world_.size() != world_.rank()) continue;
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    std::ofstream(other, std::ios::binary | std::ios::trunc) << bytes;
    SCOPED_TRACE("bit " + std::to_string(bit));
    CheckpointData data;
    const std::string problem = message_of([&] { (data = read_checkpoint(other, world_.rank())).check_records(); });
    if (problem == "no failure") expect_equal(whole_data, data);
    found[0] += problem != "no failure";
  }
  world_.sum(found);
  EXPECT_GT(found[0], 500);
}

TEST_F(Checkpoints, AFullDiskLeavesTheOldOne) {
  const std::string old = write(1);
  std::string problem;
  {
    const FileLimit limit(100000);
    problem = message_of([&] { write(example(world_, 2, 200000), 1, 0); });
  }
  EXPECT_TRUE(has(problem, "checkpoint-2.h5.tmp"));
  world_.barrier();
  EXPECT_EQ(find(), old);
  expect_equal(example(world_, 1), read_checkpoint(old, world_.rank()));
}

}  // namespace
}  // namespace tightrope
