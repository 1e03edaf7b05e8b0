#pragma once
// CheckpointWriter: writes checkpoints behind training.  The trainer's state is copied, training goes on, and the I/O
// thread brings the copy to the disk.  One at a time: the next one waits for the one before.  Where the library does
// not grant mpi::thread_multiple(), training waits too, as the I/O threads talk to each other.
#include <cstdint>
#include <future>
#include <string>

#include "tightrope/base/io_thread.hpp"
#include "tightrope/run/checkpoint.hpp"
#include "tightrope/run/clock.hpp"

namespace tightrope {

class CheckpointWriter {
 public:
  // `trainers` is the I/O thread's own communicator.
  CheckpointWriter(IoThread& io, const mpi::Comm& trainers, const CheckpointPlace& place);
  ~CheckpointWriter();  // waits; what goes wrong is lost
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // All trainers call these two, in the same order.  begin() gives what is to be filled: the copy of the checkpoint
  // before, whose memory is used again; so it waits for that one.  write() hands it to the I/O thread.
  CheckpointData& begin();
  void write();

  // Throw what went wrong with a checkpoint, naming file and dataset.
  void check();  // of one that is done
  void wait();   // until none is being written

  bool busy() const { return job_.valid(); }
  double longest_seconds() const { return longest_seconds_; }  // from begin() until LATEST names it; 0 = none yet

  struct Figures {
    double stall_seconds = 0;             // training stood still
    double bytes = 0, write_seconds = 0;  // of the files, until they were on the first disk; on trainer 0
  };
  Figures take_figures();       // since the last call
  std::string summary() const;  // in words; "" where none was written

 private:
  void collect();

  IoThread& io_;
  const mpi::Comm& trainers_;
  const CheckpointPlace place_;
  CheckpointData data_;
  std::future<void> job_;
  Stopwatch begun_;
  WrittenCheckpoint written_;  // by the job
  double job_seconds_ = 0;     // by the job
  int64_t count_ = 0;
  double longest_seconds_ = 0;
  Figures figures_, totals_;
};

}  // namespace tightrope
