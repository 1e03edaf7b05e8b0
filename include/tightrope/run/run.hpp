#pragma once
// One run, from windows to the final report: the loop that every rank is in.
#include <memory>
#include <string>
#include <vector>

#include "tightrope/base/io_thread.hpp"
#include "tightrope/comm/world.hpp"
#include "tightrope/core/deck.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/run/recorder.hpp"
#include "tightrope/run/searcher.hpp"
#include "tightrope/run/trainer.hpp"

namespace tightrope {

class Run {
 public:
  // Exit codes: the run is done; it is not, and wants to be started again (sysexits.h: EX_TEMPFAIL); it is not, and
  // run.wall_time leaves no time for an update.
  static constexpr int kDone = 0, kInterrupted = 75, kTooShort = 1;

  // Collective.  `name` is the run's where run.name says nothing; run.wall_time counts from `started`.
  Run(const World& world, const Deck& deck, const Task& task, const Plan& plan, const std::string& name,
      const Stopwatch& started);
  int execute();  // collective; the exit code, the same on all ranks
  const std::string& folder() const { return folder_; }

 private:
  struct Start {                             // what a searcher needs to know of a restart
    int64_t step = -1, unit = 0, phase = 0;  // phase: sampled and in the checkpoint
  };
  CheckpointPlace checkpoint_place() const;
  void check_place() const;
  std::string restart_path();
  CheckpointData read(const std::string& path);
  Start restart();
  void note_changes(const CheckpointData& data);
  void open_outputs();
  std::string role() const;
  void loop();
  void after_update();
  Request asked();
  bool time_is_up() const;
  bool too_short() const;  // run.wall_time, for any update
  void answer();
  void checkpoint();                  // of this step, unless there is one
  double checkpoint_seconds() const;  // that one takes from now on
  void finish();
  void interrupt();

  const World& world_;
  const Deck& deck_;
  const Task& task_;
  const Plan& plan_;
  std::string folder_;
  std::unique_ptr<mpi::NodeMemory> frozen_;  // the task's
  IoThread io_;
  mpi::Comm io_comm_;  // the trainers', for the I/O thread alone
  ReplayWindow window_;
  WeightBoard board_;
  mpi::Window states_;  // the watchdogs'
  std::unique_ptr<Searcher> searcher_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Recorder> recorder_;        // on trainer 0
  std::unique_ptr<CheckpointWriter> writer_;  // on trainers
  const Stopwatch started_;
  double seconds_before_ = 0, row_seconds_before_ = 0;           // of the run before a restart
  double last_update_ = 0, longest_update_ = 0, last_look_ = 0;  // seconds since started_
  std::string stop_reason_ = "a signal to another rank";
  Start start_;
  std::vector<std::string> restart_notes_;  // lines for people
  int64_t last_checkpoint_ = -1;            // step
  double last_checkpoint_seconds_ = 0;      // since started_
};

}  // namespace tightrope
