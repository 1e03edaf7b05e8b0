#pragma once
// MetricsFile: runs/<name>/metrics.h5, one row per interval, readable while it grows.  Schema: docs/hdf5.md.
// One rank owns it.  It knows nothing about tasks: a column is made when its name is first seen (earlier rows hold
// NaN), a name that is absent from a row holds NaN there.  All HDF5 calls run on the IoThread, so that no call but
// the constructor and close() waits for the disk; what went wrong there is thrown by the next call.
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tightrope/base/hdf5.hpp"
#include "tightrope/base/io_thread.hpp"

namespace tightrope {

// What every output file says about the run that made it.
struct RunDescription {
  std::string deck;                    // resolved
  std::string task;                    // its name in the deck
  std::vector<std::string> build;      // lines
  std::vector<std::string> libraries;  // lines, one library each
  std::vector<std::string> settings;   // lines, one MPI setting each
  int64_t ranks = 1, trainers = 1, searchers = 1;
};

class MetricsFile {
 public:
  using Values = std::map<std::string, double>;
  using Vectors = std::map<std::string, std::vector<double>>;

  // create replaces what is there.  resume continues the file of an earlier run: rows with step > restart_step and
  // evaluations with step >= restart_step are cut off, the description is replaced, attribute `restarts` gets a line.
  // Where there is no file it makes one; where the file cannot be read it is moved aside and note() says so.
  enum class Mode { create, resume };
  MetricsFile(IoThread& io, const std::string& path, const RunDescription& description, Mode mode,
              int64_t restart_step = 0);
  ~MetricsFile();  // close(), but what goes wrong is lost
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  // One row of /training or /evaluation; values must hold `step`.  A vector has the same width in every row.
  void row(const Values& values, const Vectors& vectors);
  void evaluation(const Values& values, const Vectors& vectors);
  // What never changes in a run, into /exact: kept as first given.
  void constants(const Values& values, const Vectors& vectors);
  void close();  // waits until all is on disk

  const std::string& note() const { return note_; }  // a sentence for the user, or ""

 private:
  struct Table {
    std::string group;
    int64_t rows = 0;
    std::map<std::string, std::string> columns;  // name -> path
  };

  void open(const RunDescription& description, Mode mode, int64_t restart_step);
  void describe(const RunDescription& description, bool resumed, int64_t restart_step);
  void resume(Table& table, int64_t restart_step);
  void append(Table& table, const Values& values, const Vectors& vectors);
  void add_column(Table& table, const std::string& name, int64_t width);
  void submit(std::function<void()> job);
  void rethrow(bool wait);

  IoThread& io_;
  std::string path_, note_;
  std::deque<std::future<void>> jobs_;  // what was asked for and not yet looked at
  // Touched by jobs only.
  std::optional<h5::File> file_;
  Table training_{"/training", 0, {}}, evaluation_{"/evaluation", 0, {}};
};

}  // namespace tightrope
