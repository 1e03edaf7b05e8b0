#pragma once
// Searcher: refreshes its weights, samples, appends the records to their owners' lanes, and takes its share of the
// evaluations.  It never waits: step() returns false where there is nothing to do, and the caller naps.
// Work is numbered: unit u is visit u / Q of query u mod Q (Q queries); searcher s of S takes u = s, s + S, ...
#include <cstdint>
#include <memory>
#include <vector>

#include "tightrope/comm/replay_window.hpp"
#include "tightrope/comm/weight_board.hpp"
#include "tightrope/comm/world.hpp"
#include "tightrope/run/decks.hpp"

namespace tightrope {

// What a searcher tells trainer 0 in its lane's report, before the records that it covers: this fixed part, what it
// has counted of its samples so far (Metrics::pack, fresh_bytes long), then its newest evaluation if there is one.
struct SearcherStatus {
  int64_t cursor = 0;  // the first unit that it has not begun
  int64_t samples = 0, transitions = 0;
  int64_t version = -1;  // of the weights that it samples with
  double busy_seconds = 0, idle_seconds = 0;
  double refresh_seconds = 0, sample_seconds = 0;  // parts of busy_seconds
  int64_t evaluation = -1;  // number of the evaluation: version / evaluation.every; -1 = none yet
  int64_t evaluation_version = -1;
  int64_t fresh_bytes = 0;
  int64_t stop_asked = 0;  // 1: a signal asked its rank for a stop
};

class Searcher {
 public:
  struct Start {         // zeros unless restarted
    int64_t step = 0;    // of the checkpoint: what lies before is evaluated
    int64_t cursor = 0;  // the first unit of this run over all searchers
    int64_t phase = 0;   // the last phase that is already sampled (lockstep)
  };
  Searcher(const World& world, const Deck& deck, const Plan& plan, const Task& task, ReplayWindow& window,
           WeightBoard& board, const Start& start);

  bool step();          // false: nothing to do now
  void pass_on_stop();  // tells trainer 0 of a signal, once
  bool stopped() const { return stopped_; }
  int64_t seen_step() const { return seen_step_; }  // the newest update of trainer 0 that it knows of
  void idle(double seconds) { status_.idle_seconds += seconds; }

 private:
  struct Lane {  // what is packed for one trainer and not yet appended
    std::vector<std::byte> bytes;
    std::vector<size_t> ends;  // of each record in bytes
    size_t sent = 0;
    bool empty() const { return sent == ends.size(); }
  };

  bool ready(const WeightBoard::Control& control);
  bool refresh();
  void evaluate();
  void sample();
  void count(const Batch& batch);
  Batch keep(const Batch& batch);
  void pack_for_owners(const Batch& batch);
  bool send();  // true: everything that was packed is on its way
  void report();
  void end_phase();

  const World& world_;
  const Task& task_;
  ReplayWindow& window_;
  WeightBoard& board_;
  const SearcherDeck deck_;
  const ExploreDeck explore_;
  const Layout layout_;
  const bool lockstep_;
  const uint64_t seed_;
  const int64_t evaluate_every_, evaluation_slices_;
  std::unique_ptr<Policy> policy_;
  int searcher_, searchers_;
  SearcherStatus status_;
  Metrics fresh_;                      // of all samples so far: rewards by part, lengths, ...
  Metrics pending_;                    // the evaluation that is being made, a slice between two batches
  int64_t slices_left_ = 0;            // of it
  std::vector<std::byte> evaluation_;  // the newest, packed
  std::vector<Lane> lanes_;            // [trainer]
  int64_t phase_ = 0, left_in_phase_ = 0, last_evaluation_ = -1;
  int64_t seen_step_ = 0;
  bool stopped_ = false;
};

}  // namespace tightrope
