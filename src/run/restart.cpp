// A run's side of checkpoints: when they are written, what they hold, how a run starts from one.
#include <cstdio>

#include "tightrope/base/build_info.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/run/run.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

std::string roles_text(int64_t ranks, int64_t trainers, int64_t searchers) {
  return std::to_string(ranks) + " ranks, " + std::to_string(trainers) + " trainers, " + std::to_string(searchers) +
         " searchers";
}

}  // namespace

void Run::checkpoint() {
  const auto& searcher = deck_.get<SearcherDeck>();
  CheckpointData data;
  data.deck = deck_.resolved();
  data.task = deck_.get<TaskDeck>().kind;
  data.build = build_lines();
  data.build.push_back(mpi::library_version());
  for (const std::string& line : mpi::effective_settings()) data.build.push_back(line);
  data.ranks = world_.comm().size();
  data.trainers = plan_.roles.trainers;
  data.searchers = plan_.roles.searchers;
  trainer_->save(data);
  const int64_t phases =
      data.integers["lanes_done"] == data.searchers ? data.integers["phase"] : data.integers["phase"] - 1;
  data.integers["sampled_phases"] = phases;
  data.scalars["seconds"] = recorder_ ? recorder_->seconds() : 0;
  // Lockstep: what the phases took, whatever a searcher has begun beyond.  Async: nothing that may have been begun.
  const int64_t in_phases =
      phases * searcher.batches_per_phase * (searcher.batch / searcher.samples_per_query) * data.searchers;
  const bool lockstep = deck_.get<RunDeck>().mode == "lockstep";
  const int64_t next = lockstep ? in_phases : recorder_ ? recorder_->next_unit() : 0;
  for (int64_t s = 0; s < data.searchers; ++s) data.searcher_cursors.push_back(next + s);
  io_.run([&] { write_checkpoint(io_comm_, folder_, data, deck_.get<CheckpointDeck>().keep); });
  last_checkpoint_ = data.step;
}

Run::Start Run::restart() {
  const std::string& wish = deck_.get<RunDeck>().restart;
  std::string path = wish == "auto" || wish == "no" ? "" : wish;
  if (wish == "auto" && world_.comm().rank() == 0) {
    io_.run([&] {
      path = find_checkpoint(folder_, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
    });
  }
  path = world_.comm().broadcast(path, 0);
  if (path.empty()) return {};
  int64_t start[3] = {0, 0, 0};
  if (trainer_) {
    CheckpointData data;
    io_.run([&] { data = read_checkpoint(path, world_.trainer()); });
    const std::string here = roles_text(world_.comm().size(), plan_.roles.trainers, plan_.roles.searchers);
    const std::string there = roles_text(data.ranks, data.trainers, data.searchers);
    VALIDATE(here == there, path + " was written by " + there, "this run has " + here, "start as many");
    VALIDATE(data.task == deck_.get<TaskDeck>().kind, path + " holds another task", data.task,
             "restart with the deck that is in it, or with --run.restart=no");
    trainer_->restore(data);
    seconds_before_ = data.scalars.at("seconds");
    last_checkpoint_ = data.step;
    start[0] = data.step;
    start[1] = data.searcher_cursors.at(0);
    start[2] = data.integers.at("sampled_phases");
  }
  world_.comm().broadcast(std::as_writable_bytes(std::span(start)), 0);
  return {start[0], start[1], start[2]};
}

}  // namespace tightrope
