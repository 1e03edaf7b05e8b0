#pragma once
// Recorder: what trainer 0 knows about the run, written to metrics.h5 and shown as progress lines.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tightrope/base/io_thread.hpp"
#include "tightrope/comm/replay_window.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/run/metrics_file.hpp"
#include "tightrope/run/searcher.hpp"
#include "tightrope/run/trainer.hpp"

namespace tightrope {

class Recorder {
 public:
  struct Setup {
    std::string folder;  // of metrics.h5 and samples.jsonl
    RunDescription description;
    int64_t steps = 0, batch = 0, group = 1, searchers = 1;
    std::vector<std::string> reward_parts;
    int64_t restart_step = -1;  // -1 = a new run
    int64_t first_unit = 0;     // that no searcher had begun then
    double seconds_before = 0;  // of the run before a restart
    double row_seconds = 0;     // of these, since its last row
    bool progress = false;
  };
  Recorder(IoThread& io, const Setup& setup, const Metrics& exact);

  void take_reports(ReplayWindow& window);           // searchers' counters and evaluations
  void row(const Interval& interval, int64_t step);  // one row of /training, one progress line
  void evaluation(int64_t version, const Metrics& metrics);
  void samples(int64_t step, const std::vector<TrajectoryNote>& notes);  // lines of samples.jsonl
  void close() { file_.close(); }

  int64_t next_unit() const;  // the first unit that no searcher has begun
  bool stop_asked() const;    // of any searcher, by a signal
  // The run ends here, before its last step: what is evaluated of this version is trainer 0's alone.
  void ends_at(int64_t step) { setup_.steps = step; }
  double seconds() const { return setup_.seconds_before + watch_.seconds(); }
  double row_seconds() const {
    return setup_.row_seconds + watch_.seconds() - last_row_seconds_;
  }                             // since the last row
  std::string summary() const;  // the last row in words
  const std::string& note() const { return file_.note(); }

 private:
  struct Totals {
    double samples = 0, transitions = 0, busy = 0, idle = 0, refresh = 0, sample = 0;
    Metrics fresh;
  };
  Totals totals() const;
  void show(const MetricsFile::Values& values) const;
  void open_samples() const;
  void merge_evaluations();

  Setup setup_;
  Metrics exact_;
  MetricsFile file_;
  Stopwatch watch_;
  double last_row_seconds_ = 0;
  Totals last_totals_;
  std::vector<SearcherStatus> searchers_;
  std::vector<Metrics> fresh_;  // of each searcher, so far
  struct Pending {
    Metrics metrics;
    int64_t version = -1;
  };
  std::map<int64_t, Pending> evaluations_;  // by number, until every searcher's share is in
  MetricsFile::Values last_row_, last_evaluation_;
};

// Whether lines on stdout reach a terminal: under a launcher, whether they reach the launcher's.
bool stdout_is_terminal();

}  // namespace tightrope
