#pragma once
// Watchdog: a thread of each rank that ends the job where its rank makes no step for too long: an update; of a
// searcher a batch, or an update that it saw.  First it says where its own rank and every other one stand, on stderr:
// each notes its state in its part of a window, so that a rank tells of one that cannot speak any more.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "tightrope/base/mpi.hpp"

namespace tightrope {

class Watchdog {
 public:
  static constexpr int64_t state_bytes = 512;  // of each rank's part of the window

  // `seconds` of patience, 0 = endless.  The role is for messages.  `states` is over all `ranks` of the run.
  Watchdog(double seconds, const std::string& role, mpi::Window& states, int ranks);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void step(int64_t update);  // has been made, of the run's update or after it; by the rank's main thread

 private:
  struct State;
  void note();
  void watch();
  void end_job(std::unique_lock<std::mutex>& lock);
  void tell_of_others() const;
  State& state() const;  // this rank's, in the window
  std::string doing() const;

  const double patience_;
  const std::string role_;
  mpi::Window& states_;
  const int ranks_;
  std::atomic<long long> steps_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tightrope
