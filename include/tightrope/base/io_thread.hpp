#pragma once
// The one thread of a process that does file I/O: jobs run one after another, in the order in which they came.
// HDF5 is not thread-safe; every HDF5 call of the process is such a job.  Joined before the mpi::Session ends.
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace tightrope {

class IoThread {
 public:
  IoThread();
  ~IoThread();  // runs what is queued, then joins
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  std::future<void> submit(std::function<void()> job);  // an exception travels through the future
  void run(std::function<void()> job);                  // submit and wait; rethrows.  Not from inside a job
  size_t pending() const;                               // jobs that are queued or running

 private:
  void work();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::packaged_task<void()>> jobs_;
  size_t unfinished_ = 0;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tightrope
