#pragma once
// Trainer: drains its lanes into its store, draws, scores, steps, publishes.  It never waits for a searcher: step()
// returns false where nothing can be drawn yet.  With several trainers step() is collective over them (they agree in
// one small sum whether all can draw), and their parameters are bit-identical after every step.
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tightrope/comm/collective.hpp"
#include "tightrope/comm/gradient_sum.hpp"
#include "tightrope/comm/replay_window.hpp"
#include "tightrope/comm/weight_board.hpp"
#include "tightrope/comm/world.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/learn/replay_index.hpp"
#include "tightrope/run/checkpoint_writer.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/run/decks.hpp"
#include "tightrope/run/weight_staging.hpp"

namespace tightrope {

// Sums over one metrics interval, of this trainer, that a restart goes on with; merged over the trainers when a row is
// written.
struct IntervalSums {
  static constexpr int kBins = 16;  // 0, 1, 2-3, 4-7, ...: see docs/hdf5.md
  static constexpr int kParts = 8;  // of a reward, at most
  double loss = 0, log_z = 0, log_reward = 0, length = 0, trajectories = 0;
  double log_ratio = 0, spread = 0, truncated = 0, unique = 0, temperature = 0;
  double reward_parts[kParts] = {};
  double grad_norm = 0, updates = 0;
  double staleness = 0, uses = 0;
  double staleness_bins[kBins] = {}, uses_bins[kBins] = {}, residual_bins[kBins] = {};
};

// The same with what belongs to this process alone.
struct Interval : IntervalSums {
  double busy_seconds = 0, idle_seconds = 0;
  double drain_seconds = 0, draw_seconds = 0, score_seconds = 0, backward_seconds = 0, optimise_seconds = 0;
  double publish_seconds = 0;                   // these are parts of busy_seconds
  double checkpoint_seconds = 0;                // stood still for checkpoints
  double written_bytes = 0, write_seconds = 0;  // of the checkpoints that were finished; trainer 0's
  double replay_records = 0, replay_capacity = 0, inserted = 0, skipped = 0, refused = 0;  // totals so far
};

// A record in words.
struct TrajectoryNote {
  std::string kind;  // newest, highest, lowest
  IndexEntry entry;
  double log_pf = 0, log_ref = 0;  // nats; log_pf under the weights of now
  std::vector<double> reward;      // by part
  bool truncated = false;
  std::string text;
};

// What the outside asks of a run while it goes on: signals, files, the clock.
struct Request {
  bool checkpoint = false;  // write one and go on
  bool interrupt = false;   // write one and stop: the run is not finished
  bool finish = false;      // end as if this update were the last
};

class Trainer {
 public:
  Trainer(const World& world, const Deck& deck, const Plan& plan, const Task& task, ReplayWindow& window,
          WeightBoard& board);

  // Puts the first weights on the board.  Call once, after restore() where there is a checkpoint.
  void begin();
  bool step();  // false: nothing to do now; true: one update, or records moved
  bool done() const { return steps_done() >= deck_.steps; }
  bool finished() const { return done() || stops(); }
  int64_t steps_done() const { return optimiser_->steps_done(); }

  // What one trainer is asked for in its step(), all trainers are; agreed() says it until answered().
  void ask(const Request& request) { asked_ = request; }
  const Request& agreed() const { return agreed_; }
  void answered() { agreed_.checkpoint = false; }
  // Whether all trainers can be saved as they are now: in lockstep only after an update and between phases.
  bool at_boundary() const { return at_boundary_; }
  int64_t phase() const { return phase_; }
  bool at_update() const { return updated_; }  // the last step() made an update
  void idle(double seconds) { interval_.idle_seconds += seconds; }
  void count_checkpoints(const CheckpointWriter::Figures& figures);
  void publish(bool stop);  // trainer 0 only, elsewhere nothing
  Policy& policy() { return *policy_; }
  std::string transport() const { return collective_->name(); }  // of the gradient, in words
  std::string device() const { return policy_->parameters.device().str(); }

  // What this trainer's store holds at the extremes, for people: the newest, the most and the least rewarded record.
  std::vector<TrajectoryNote> notes();

  // Collective over the trainers: what happened since the last call, summed, and starts anew.
  Interval take_interval();

  void save(CheckpointData& data) const;                  // collective over the trainers
  void restore(CheckpointData& data);                     // takes its index
  int64_t capacity() const { return index_.capacity(); }  // of the store, in records

 private:
  bool drain();
  void deliver(const LaneRecord& record);
  bool can_draw();
  bool agree(bool mine);
  bool stops() const { return at_boundary_ && (agreed_.interrupt || agreed_.finish); }
  void publish_now(bool stop);
  void serve_board();
  template <class Run>
  void reach(const Tensor& values, Run run);
  void update();
  std::vector<IndexEntry> draw();
  void learn(std::span<const IndexEntry> drawn, const Batch& part);
  double gradient_norm() const;
  double descend();
  void count(std::span<const IndexEntry> drawn, const Batch& part, const Scores& scores, const ObjectiveResult& result);
  Batch gather(const std::vector<IndexEntry>& drawn);
  void end_phase();
  double skipped() const;  // trajectories lost in the lanes, so far

  const World& world_;
  const Task& task_;
  const Plan& plan_;
  ReplayWindow& window_;
  WeightBoard& board_;
  const TrainerDeck deck_;
  const Layout layout_;
  const bool lockstep_;
  const bool overlap_;
  const bool sharded_;  // this trainer has the moments of its shard of the parameters only
  const uint64_t seed_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Optimiser> optimiser_;
  std::unique_ptr<Collective> collective_;
  Tensor mirror_;  // (P) float32 on the host: what goes through sums that cannot reach the GPU; else undefined
  std::unique_ptr<GradientSum> gradient_sum_;
  std::unique_ptr<WeightStaging> staging_;  // trainer 0's where it computes on a GPU
  bool unpublished_ = false;                // weights wait for room in staging_
  std::future<void> publishing_;            // a copy that a thread puts on the board
  ReplayIndex index_;
  Interval interval_;
  double skipped_before_ = 0;  // before a restart
  bool updated_ = false;
  Request asked_, agreed_;
  bool at_boundary_ = false;
  bool others_lack_ = false;  // async: another trainer waits for records, so no searcher may wait for this one
  int next_lane_ = 0;         // async: whose turn it is
  // Lockstep: the phase being collected or trained on, how many lanes have delivered it whole, updates made in it.
  int64_t phase_ = 1, lanes_done_ = 0, updates_in_phase_ = 0;
  bool between_phases_ = true;  // nothing of phase_ has arrived yet
};

}  // namespace tightrope
