#pragma once
// The engine's own deck sections, the schema of the program, and what a deck comes to on a number of ranks.
#include <string>
#include <vector>

#include "tightrope/comm/collective.hpp"
#include "tightrope/comm/replay_window.hpp"
#include "tightrope/comm/weight_board.hpp"
#include "tightrope/comm/world.hpp"
#include "tightrope/core/deck.hpp"
#include "tightrope/core/task.hpp"
#include "tightrope/learn/objective.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/learn/schedule.hpp"

namespace tightrope {

struct RunDeck {
  static constexpr const char* section = "run";
  std::string name;  // "" = the deck's file name
  std::string folder = "runs";
  std::string mode = "async";  // async | lockstep
  std::string restart = "no";  // no | auto | a checkpoint's path
  int64_t seed = 1;
  int64_t interval = 100;         // updates per metrics row
  std::string progress = "auto";  // auto | always | never
  double wall_time = 0;           // seconds; 0 = no end
  double watchdog = 3600;         // seconds; 0 = none
  void fields(FieldList& f);
};

struct ObjectiveDeck {
  static constexpr const char* section = "objective";
  std::string kind = "tb";
  int64_t group = 1;           // K
  double temperature = 1;      // at the first update
  double temperature_end = 0;  // 0 = it stays
  int64_t temperature_decay_steps = 0, temperature_jump_at = 0;
  double reward_exponent = 1;  // 1 / temperature; give one of the two
  double ref_coefficient = 1;
  double lambda = 0.9;
  void fields(FieldList& f);
};

struct TrainerDeck {
  static constexpr const char* section = "trainer";
  int64_t steps = 4000;
  int64_t batch = 16;          // trajectories per update, over all trainers
  std::string shard = "none";  // none | optimizer
  int64_t publish_every = 1;   // updates; async
  std::string publish_precision = "float32";
  OptimiserDeck optimiser;
  int64_t updates_per_phase = 1;  // lockstep
  void fields(FieldList& f);
};

struct SearcherDeck {
  static constexpr const char* section = "searcher";
  int64_t batch = 16;             // trajectories at once, per searcher
  int64_t samples_per_query = 1;  // S
  int64_t keep_per_query = 0;     // of these; 0 = all
  bool skip_equal = false;        // visits whose rewards are all equal
  int64_t batches_per_phase = 1;  // lockstep
  void fields(FieldList& f);
};

struct ExploreDeck {
  static constexpr const char* section = "explore";
  double epsilon = 0, epsilon_end = 0;
  double temperature = 1, top_p = 1;
  int64_t decay_steps = 0;
  void fields(FieldList& f);
  Exploration at(int64_t version) const;
};

struct CheckpointDeck {
  static constexpr const char* section = "checkpoint";
  int64_t every = 0;   // updates; 0 = only at the end
  double minutes = 0;  // 0 = never for the time that has passed
  int64_t keep = 2;
  int64_t keep_every = 0;     // updates; 0 = none for good
  std::string folder, local;  // "" = the run's folder; "" = one level
  void fields(FieldList& f);
};

Schema program_schema();

// Key combinations that cannot run on `ranks` ranks, each as "where: problem (why) what to do".
std::vector<std::string> combination_problems(const Deck& deck, int ranks);

// What a valid deck comes to.
struct Plan {
  Roles roles;
  const Objective* objective = nullptr;
  ObjectiveValues values;  // but for the temperature's schedule
  TemperatureSchedule temperature;
  ObjectiveValues values_at(int64_t update) const;  // updates count from 1
  ReplayGeometry geometry;
  int64_t groups = 0;      // per update, over all trainers
  int64_t parameters = 0;  // of the policy
  GradientPlan gradient{0, 0, 1};
  CollectiveDeck collective;                                           // its kind mpi or nccl
  bool on_gpus = false;                                                // trainers compute on GPUs (choose_devices)
  int gpu = 0;                                                         // then: of this trainer
  WeightBoard::Precision precision = WeightBoard::Precision::float32;  // of published weights
  int64_t groups_of(int trainer) const;  // this trainer's share; all shares add up to groups
  int64_t window_bytes(int rank) const;  // one-sided memory: lanes, store, weight board
  // Of a trainer: parameters, gradient, moments, buffers of its sum; on its GPU where that is where it computes.
  int64_t training_bytes(const Deck& deck) const;
  std::string describe(const Deck& deck) const;  // for --check: batch arithmetic and bytes per rank
};

// Throws Failure where the sizes do not fit ([replay] bytes too small for one batch).
Plan make_plan(const Deck& deck, int ranks, const Task& task, int64_t parameters);

// Says in the plan where trainers compute and what sums their gradients, and makes this trainer's GPU ready;
// make_plan() alone keeps all on the CPU.  Collective over all ranks.  Throws DeckError where the deck asks for what is
// not there.
void choose_devices(const Deck& deck, const mpi::Comm& comm, Plan& plan);

}  // namespace tightrope
