// A run's side of checkpoints: where they go, what they hold, how a run starts from one.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tightrope/base/build_info.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/hash.hpp"
#include "tightrope/run/command_line.hpp"
#include "tightrope/run/run.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

std::string roles_text(int64_t ranks, int64_t trainers, int64_t searchers) {
  return std::to_string(ranks) + " ranks, " + std::to_string(trainers) + " trainers, " + std::to_string(searchers) +
         " searchers";
}

}  // namespace

// The local level is shared by all runs of a node: its folder's name tells two runs of one name apart.
CheckpointPlace Run::checkpoint_place() const {
  const auto& deck = deck_.get<CheckpointDeck>();
  const std::string name = fs::path(folder_).filename().string();
  CheckpointPlace place{folder_, "", deck.keep, deck.keep_every};
  if (!deck.folder.empty()) place.folder = (fs::path(deck.folder) / name).string();
  if (deck.local.empty()) return place;
  const std::string absolute = fs::absolute(folder_).lexically_normal().string();
  char mark[24];
  std::snprintf(mark, sizeof mark, "-%016llx",
                static_cast<unsigned long long>(hash_bytes(std::as_bytes(std::span(absolute)))));
  place.local = (fs::path(deck.local) / (name + mark)).string();
  return place;
}

// Collective.  All trainers write one file, so they must share what is local.
void Run::check_place() const {
  if (deck_.get<CheckpointDeck>().local.empty()) return;
  int64_t apart = trainer_ && world_.trainers().split_by_node().size() < world_.trainers().size() ? 1 : 0;
  world_.comm().max(std::span(&apart, 1));
  VALIDATE(apart == 0, "checkpoint.local cannot be used here", "the trainers are on several nodes and write one file",
           "remove it, or place all trainers on one node");
}

void Run::checkpoint() {
  if (last_checkpoint_ == trainer_->steps_done()) return;
  const auto& searcher = deck_.get<SearcherDeck>();
  CheckpointData& data = writer_->begin();
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
  data.scalars["row_seconds"] = recorder_ ? recorder_->row_seconds() : 0;
  // Lockstep: what the phases took, whatever a searcher has begun beyond.  Async: nothing that may have been begun.
  if (recorder_) recorder_->take_reports(window_);
  const int64_t in_phases = (phases - start_.phase) * searcher.batches_per_phase *
                            (searcher.batch / searcher.samples_per_query) * data.searchers;
  const bool lockstep = deck_.get<RunDeck>().mode == "lockstep";
  const int64_t next = lockstep ? start_.unit + in_phases : recorder_ ? recorder_->next_unit() : 0;
  data.searcher_cursors.clear();
  for (int64_t s = 0; s < data.searchers; ++s) data.searcher_cursors.push_back(next + s);
  writer_->write();
  last_checkpoint_ = data.step;
  last_checkpoint_seconds_ = started_.seconds();
}

// As long as the longest so far, after the one that is being written.  Before the first: a second, and the most bytes
// that it can have at 100 MB/s.
double Run::checkpoint_seconds() const {
  const double measured = writer_->longest_seconds() * (writer_->busy() ? 2 : 1);
  if (measured > 0) return measured;
  const auto bytes =
      3 * 4 * plan_.parameters + plan_.roles.trainers * plan_.geometry.slots * plan_.geometry.slot_bytes();
  return 1 + static_cast<double>(bytes) / 1e8;
}

// Collective; "" = from the start.
std::string Run::restart_path() {
  const std::string& wish = deck_.get<RunDeck>().restart;
  if (wish == "no") return "";
  if (wish != "auto") return wish;
  std::string path;
  const CheckpointPlace place = checkpoint_place();
  if (world_.comm().rank() == 0) {
    io_.run([&] {
      path = find_checkpoint({place.folder, place.local},
                             [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
    });
  }
  return world_.comm().broadcast(path, 0);
}

// Collective over the trainers.  Each reads its own part where that is what its store is to hold; else all stores are
// shared out anew.
CheckpointData Run::read(const std::string& path) {
  const auto owner = [this](int64_t query, int64_t id) -> int64_t { return world_.owner(query, id, task_.queries()); };
  const int me = world_.trainer(), trainers = plan_.roles.trainers;
  CheckpointData data;
  io_.run([&] {
    data = read_checkpoint_head(path);
    if (data.trainers == trainers) data = read_checkpoint(path, me);
  });
  VALIDATE(data.task == deck_.get<TaskDeck>().kind, path + " holds another task", data.task,
           "restart with the deck that is in it, or with --run.restart=no");
  const auto belongs = [&](const IndexEntry& entry) { return owner(entry.query, entry.id) == me; };
  const bool mine = data.trainers == trainers && std::ranges::all_of(data.index.entries, belongs) &&
                    static_cast<int64_t>(data.index.entries.size()) <= trainer_->capacity();
  int64_t anew = mine ? 0 : 1;
  world_.trainers().max(std::span(&anew, 1));
  if (anew == 0) return data;
  ReplayMerge merge(deck_.get<ReplayDeck>(), trainer_->capacity(), me, trainers, owner);
  io_.run([&] { data = read_checkpoint(path, merge); });
  if (me != 0) data.sums.clear();
  return data;
}

Run::Start Run::restart() {
  const std::string path = restart_path();
  if (path.empty()) return {};
  int64_t start[3] = {0, 0, 0};
  if (trainer_) {
    CheckpointData data = read(path);
    trainer_->restore(data);
    seconds_before_ = data.scalars.at("seconds");
    if (data.scalars.contains("row_seconds")) row_seconds_before_ = data.scalars.at("row_seconds");
    // One that lies elsewhere is not what this run's next restart would find.
    std::error_code error;
    if (fs::equivalent(fs::path(path).parent_path(), checkpoint_place().folder, error)) last_checkpoint_ = data.step;
    note_changes(data);
    start[0] = data.step;
    start[1] = data.searcher_cursors.at(0);
    start[2] = data.integers.at("sampled_phases");
  }
  world_.comm().broadcast(std::as_writable_bytes(std::span(start)), 0);
  return {start[0], start[1], start[2]};
}

// Collective over the trainers.
void Run::note_changes(const CheckpointData& data) {
  for (const std::string& change : deck_changes(data.deck, deck_)) {
    if (!change.starts_with("run.restart:")) restart_notes_.push_back("changed since the checkpoint: " + change);
  }
  const std::string here = roles_text(world_.comm().size(), plan_.roles.trainers, plan_.roles.searchers);
  const std::string there = roles_text(data.ranks, data.trainers, data.searchers);
  if (here != there) restart_notes_.push_back("the checkpoint was written by " + there + "; this run has " + here);
  int64_t left_out = data.left_out;
  world_.trainers().sum(std::span(&left_out, 1));
  if (left_out > 0)
    restart_notes_.push_back(std::to_string(left_out) + " records of the checkpoint have no room in the stores and " +
                             "were left out: the worst by replay.keep");
}

}  // namespace tightrope
