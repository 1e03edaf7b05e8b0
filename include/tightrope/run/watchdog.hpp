#pragma once
// Watchdog: a thread of each rank that ends the job where its rank makes no step for too long: an update; of a
// searcher a batch, or an update that it saw.  Every rank that stands still says so first, on stderr.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace tightrope {

class Watchdog {
 public:
  Watchdog(double seconds, const std::string& role);  // of patience; 0 = endless.  The role is for its message
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void step() { ++steps_; }  // by the rank's main thread

 private:
  void watch();
  std::string state(double seconds) const;

  const double patience_;
  const std::string role_;
  std::atomic<long long> steps_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tightrope
