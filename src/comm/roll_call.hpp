#pragma once
// RollCall: bounds how long a trainer waits for the others in one operation, and knows for whom.
//
// Nothing is sent while waits are short.  A trainer that has waited for half of its time, or that sees that another one
// has, puts the number of operations that it has begun into the windows of all; who runs out of time looks into its
// own.  So a trainer that is late need not answer to be named.
#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/base/mpi.hpp"

namespace tightrope {

// One thread calls at a time.  All trainers begin the same operations in the same order.
class RollCall {
 public:
  RollCall(const mpi::Comm& trainers, double seconds);  // collective

  int64_t begin() { return begun_++; }  // one more operation; returns its number
  void end_update() { update_ = begun_; }

  void wait_for(int64_t operation);
  // Call it often while waiting.  Neither waits for others nor throws.
  bool out_of_time();
  // Names the operation that is waited for, of so many values, and the trainers that have not come to it.
  Failure failure(size_t values);

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  using Time = std::chrono::time_point<Clock, Seconds>;
  std::vector<int> missing();
  bool others_called();
  void answer();

  mpi::Comm comm_;
  mpi::Window window_;  // one int64 per trainer: the operations that it has begun, as far as it said
  const Seconds seconds_;
  int64_t begun_ = 0, update_ = 0, awaited_ = 0;  // operations; update_ = those before this update
  Time since_, end_;
  std::deque<int64_t> answers_;  // all, as puts read them later than they are called
};

}  // namespace tightrope
