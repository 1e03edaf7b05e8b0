// GoogleTest under MPI: every rank runs every test.  Rank 0 prints the progress, every rank prints its failures with
// its rank, all agree on the exit code, and a watchdog names the test and the wait that hang.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include "tightrope/base/mpi.hpp"

namespace tightrope {
namespace {

constexpr auto patience = std::chrono::seconds(60);

class Watchdog {
 public:
  explicit Watchdog(int rank) : rank_(rank), thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  void begin(const std::string& test) {
    const std::lock_guard lock(mutex_);
    test_ = test;
    since_ = std::chrono::steady_clock::now();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      wake_.wait_for(lock, std::chrono::seconds(1));
      if (stop_ || std::chrono::steady_clock::now() - since_ < patience) continue;
      const std::string wait = mpi::waiting_in();
      mpi::guarded([&]() -> int {
        throw std::runtime_error("the watchdog saw no test finish for 60 s (" + test_ + " hangs " +
                                 (wait.empty() ? "outside of any wait" : "in " + wait) + ") look at that rank's test");
      });
    }
  }

  int rank_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string test_ = "start";
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  bool stop_ = false;
  std::thread thread_;
};

class Listener final : public testing::EmptyTestEventListener {
 public:
  Listener(int rank, int size) : rank_(rank), size_(size), watchdog_(rank) {}

 private:
  void OnTestStart(const testing::TestInfo& info) override {
    watchdog_.begin(std::string(info.test_suite_name()) + "." + info.name());
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d of %d] %s:%d: %s\n", rank_, size_,
                 result.file_name() == nullptr ? "?" : result.file_name(), result.line_number(), result.message());
  }
  void OnTestEnd(const testing::TestInfo& info) override {
    const bool failed = info.result()->Failed();
    if (failed)
      std::fprintf(stderr, "[rank %d of %d] FAILED %s.%s\n", rank_, size_, info.test_suite_name(), info.name());
    if (rank_ != 0) return;
    std::printf("%s %s.%s (%lld ms)\n", failed ? "[ FAILED ]" : "[   ok   ]", info.test_suite_name(), info.name(),
                static_cast<long long>(info.result()->elapsed_time()));
    std::fflush(stdout);
  }

  int rank_, size_;
  Watchdog watchdog_;
};

int run_tests() {
  const mpi::Comm comm = mpi::Comm::world();
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new Listener(comm.rank(), comm.size()));
  // Off shared memory one-sided operations need their target to enter MPI: as in the program, a thread does.
  std::unique_ptr<mpi::Progress> progress;
  const mpi::Passivity passivity = mpi::probe_passivity(comm);
  if (!passivity.passive) progress = std::make_unique<mpi::Progress>(comm);
  if (comm.rank() == 0) {
    std::printf("%d rank(s), one-sided operations are %s (%.1f us idle, %.1f us busy)\n", comm.size(),
                passivity.passive ? "passive" : "served by a progress thread", passivity.idle_us, passivity.busy_us);
  }
  int64_t failed = RUN_ALL_TESTS() == 0 ? 0 : 1;
  comm.max(std::span(&failed, 1));
  if (comm.rank() == 0)
    std::printf("%d test(s), %s\n", testing::UnitTest::GetInstance()->test_to_run_count(),
                failed == 0 ? "passed on all ranks" : "FAILED");
  return static_cast<int>(failed);
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  tightrope::mpi::Session session(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return tightrope::mpi::guarded(tightrope::run_tests);
}
