#include "tightrope/run/checkpoint_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "bytes_text.hpp"

namespace tightrope {

CheckpointWriter::CheckpointWriter(IoThread& io, const mpi::Comm& trainers, const CheckpointPlace& place)
    : io_(io), trainers_(trainers), place_(place) {}

CheckpointWriter::~CheckpointWriter() {
  try {
    wait();
  } catch (const std::exception&) {
    // wait() is there for those who want to know
  }
}

CheckpointData& CheckpointWriter::begin() {
  begun_ = {};
  wait();
  return data_;
}

void CheckpointWriter::write() {
  job_ = io_.submit([this, begun = begun_] {
    written_ = write_checkpoint(trainers_, place_, data_);
    job_seconds_ = begun.seconds();
  });
  if (!mpi::thread_multiple()) wait();
  figures_.stall_seconds += begun_.seconds();
  totals_.stall_seconds += begun_.seconds();
}

void CheckpointWriter::check() {
  if (busy() && job_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) collect();
}

void CheckpointWriter::wait() {
  if (!busy()) return;
  const mpi::Waiting waiting("the writing of a checkpoint");
  job_.wait();
  collect();
}

void CheckpointWriter::collect() {
  job_.get();
  ++count_;
  longest_seconds_ = std::max(longest_seconds_, job_seconds_);
  if (trainers_.rank() != 0) return;
  for (Figures* figures : {&figures_, &totals_}) {
    figures->bytes += static_cast<double>(written_.bytes);
    figures->write_seconds += written_.seconds;
  }
}

CheckpointWriter::Figures CheckpointWriter::take_figures() { return std::exchange(figures_, {}); }

std::string CheckpointWriter::summary() const {
  if (count_ == 0) return "";
  char text[160];
  std::snprintf(text, sizeof text,
                "checkpoints: %lld, the last of %s, written at %s/s; training stood still for %.3g s",
                static_cast<long long>(count_), bytes_text(written_.bytes).c_str(),
                bytes_text(static_cast<int64_t>(totals_.bytes / std::max(totals_.write_seconds, 1e-9))).c_str(),
                totals_.stall_seconds);
  return text;
}

}  // namespace tightrope
