#include "tightrope/base/io_thread.hpp"

#include <utility>

namespace tightrope {

IoThread::IoThread() : thread_([this] { work(); }) {}

IoThread::~IoThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::future<void> IoThread::submit(std::function<void()> job) {
  std::packaged_task<void()> task(std::move(job));
  auto done = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(task));
    ++unfinished_;
  }
  wake_.notify_one();
  return done;
}

void IoThread::run(std::function<void()> job) { submit(std::move(job)).get(); }

size_t IoThread::pending() const {
  const std::lock_guard lock(mutex_);
  return unfinished_;
}

void IoThread::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto task = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    task();
    task = {};  // what the job holds is released here, not under the lock
    lock.lock();
    --unfinished_;
  }
}

}  // namespace tightrope
