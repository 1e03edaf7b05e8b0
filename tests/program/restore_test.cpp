// What trainers restore of a checkpoint that another number of trainers wrote: the same weights, moments and loss.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

#include "tightrope/run/checkpoint.hpp"
#include "tightrope/run/searcher.hpp"
#include "tightrope/run/trainer.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

constexpr size_t kFixed = 48;  // trajectories of the fixed batch

// Two trainers share Adam's moments, and so do four; one and three each have all of them.
Deck deck_of(int trainers, const std::string& bytes) {
  return Deck(program_schema(), "", "test.ini",
              {"--world.trainers=" + std::to_string(trainers), "--world.threads=1", "--collective.bucket=4KiB",
               std::string("--trainer.shard=") + (trainers % 2 == 0 ? "optimizer" : "none"), "--trainer.steps=30",
               "--evaluation.every=0", "--policy.width=64", "--replay.bytes=" + bytes, "--objective.kind=subtb",
               "--policy.backward=learned"});
}

// Everything of a run but its files.
struct Rig {
  Rig(const mpi::Comm& comm, int trainers, const std::string& bytes)
      : deck(deck_of(trainers, bytes)),
        task(make_task(deck)),
        plan(make_plan(deck, comm.size(), *task, task->make_policy(find_objective("subtb").needs)->parameters.size())),
        world(comm.duplicate(), deck.get<WorldDeck>()),
        window(world.comm(), plan.geometry),
        board(world.comm(), 0, plan.parameters) {
    if (world.is_trainer()) trainer.emplace(world, deck, plan, *task, window, board);
    if (world.is_searcher()) searcher.emplace(world, deck, plan, *task, window, board, Searcher::Start{});
  }

  void train() {
    if (trainer) trainer->begin();
    while (trainer ? !trainer->finished() : !searcher->stopped()) {
      if (searcher) searcher->step();
      if (trainer) trainer->step();
      world.comm().poll();
    }
    if (trainer) trainer->publish(/*stop=*/true);
    world.comm().barrier();
  }

  Deck deck;
  std::unique_ptr<Task> task;
  Plan plan;
  World world;
  ReplayWindow window;
  WeightBoard board;
  std::optional<Trainer> trainer;
  std::optional<Searcher> searcher;
};

// The sum of the losses of those records that are in the fixed batch.
double loss(Rig& rig, const CheckpointData& data, const std::set<int64_t>& fixed) {
  std::vector<std::span<const std::byte>> records;
  for (size_t i = 0; i < data.index.entries.size(); ++i) {
    if (fixed.contains(data.index.entries[i].id)) records.push_back(data.record(i));
  }
  if (records.empty()) return 0;
  Batch batch = unpack(rig.task->layout(), records);
  batch.group = at::arange(batch.size());
  const Scores scores = rig.task->score(rig.trainer->policy(), batch);
  return rig.plan.objective->evaluate(scores, batch, rig.plan.values_at(31)).loss.sum().item<double>();
}

std::string save(Rig& rig, const std::string& folder) {
  CheckpointData data;
  rig.trainer->save(data);
  data.deck = rig.deck.resolved();
  data.task = "hypergrid";
  data.trainers = rig.plan.roles.trainers;
  data.searchers = rig.plan.roles.searchers;
  data.searcher_cursors = {0};
  return write_checkpoint(rig.world.trainers(), {folder, "", 1, 0}, data).path;
}

CheckpointData read_for(const Rig& rig, const std::string& path, int store, int stores) {
  ReplayMerge merge(rig.deck.get<ReplayDeck>(), 100000, store, stores,
                    [&](int64_t, int64_t id) { return id % stores; });  // one query: World::owner goes by id
  return read_checkpoint(path, merge);
}

TEST(Restore, AnyNumberOfTrainersHasTheSameLossOnAFixedBatch) {
  const mpi::Comm comm = mpi::Comm::world();
  std::string folder = "/tmp/tightrope-restore-XXXXXX";
  if (comm.rank() == 0) folder = mkdtemp(folder.data());
  folder = comm.broadcast(folder, 0);

  Rig first(comm, std::max(comm.size() / 2, 1), "100KiB");
  first.train();
  std::string path = first.trainer ? save(first, folder) : "";
  path = comm.broadcast(path, 0);
  std::set<int64_t> fixed;
  CheckpointData all = read_for(first, path, 0, 1);
  const auto& entries = all.index.entries;
  ASSERT_GT(entries.size(), kFixed);
  for (size_t i = entries.size() - kFixed; i < entries.size(); ++i) fixed.insert(entries[i].id);
  double expected[] = {comm.rank() == 0 ? loss(first, all, fixed) : 0};
  comm.sum(expected);
  ASSERT_GT(expected[0], 1e-3);

  for (int trainers = 1; trainers <= comm.size(); ++trainers) {
    SCOPED_TRACE(std::to_string(trainers) + " trainers of " + std::to_string(comm.size()) + " ranks");
    Rig rig(comm, trainers, "1MiB");  // room wherever the records go
    double sums[2] = {0, 0};
    if (rig.trainer) {
      const CheckpointData data = read_for(rig, path, rig.world.trainer(), trainers);
      CheckpointData taken = data;
      rig.trainer->restore(taken);
      sums[0] = loss(rig, data, fixed);
      sums[1] = static_cast<double>(data.index.entries.size());
      CheckpointData again;
      rig.trainer->save(again);
      const Extent share = saved_share(rig.plan.parameters, rig.world.trainer(), trainers);
      for (const auto& [name, values] : all.parameters[0].arrays) {
        const std::vector<float> own(values.begin() + share.offset, values.begin() + share.end());
        EXPECT_EQ(again.parameters[0].arrays.at(name), own) << name;
      }
      EXPECT_EQ(again.records, data.records);
      EXPECT_EQ(again.index.counters, data.index.counters);
      EXPECT_EQ(again.step, 30);
    }
    comm.sum(sums);
    EXPECT_NEAR(sums[0], expected[0], 1e-6 * expected[0]);
    EXPECT_EQ(sums[1], static_cast<double>(entries.size()));
  }
  comm.barrier();
  if (comm.rank() == 0) std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tightrope
