#pragma once
// One run, from windows to the final report: the loop that every rank is in.
#include <memory>
#include <string>

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
  // Collective.  `deck_file` names the run where run.name does not.
  Run(const World& world, const Deck& deck, const Task& task, const Plan& plan, const std::string& deck_file);
  void execute();  // collective
  const std::string& folder() const { return folder_; }

 private:
  struct Start {  // what a searcher needs to know of a restart
    int64_t step = -1, unit = 0, phase = 0;
  };
  Start restart();
  void open_outputs(const Start& start);
  void loop();
  void after_update();
  void checkpoint();
  void finish();

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
  std::unique_ptr<Searcher> searcher_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Recorder> recorder_;  // on trainer 0
  Stopwatch watch_;
  double seconds_before_ = 0;
  int64_t last_checkpoint_ = -1;
};

}  // namespace tightrope
