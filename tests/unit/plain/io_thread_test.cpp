#include "tightrope/base/io_thread.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tightrope {
namespace {

using namespace std::chrono_literals;

TEST(IoThread, RunsJobsInTheOrderInWhichTheyCame) {
  std::vector<int> seen, expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  {
    IoThread io;
    for (const int i : expected) io.submit([&seen, i] { seen.push_back(i); });
  }  // the destructor runs what is queued
  EXPECT_EQ(seen, expected);
}

TEST(IoThread, UsesOneThreadThatIsNotTheCaller) {
  IoThread io;
  std::thread::id first, second;
  io.run([&] { first = std::this_thread::get_id(); });
  io.run([&] { second = std::this_thread::get_id(); });
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(IoThread, HandsExceptionsToTheOneWhoWaitsAndGoesOn) {
  IoThread io;
  auto failed = io.submit([] { throw std::runtime_error("no room"); });
  EXPECT_THROW(failed.get(), std::runtime_error);
  EXPECT_THROW(io.run([] { throw std::logic_error("again"); }), std::logic_error);
  int value = 0;
  io.run([&] { value = 7; });
  EXPECT_EQ(value, 7);
}

TEST(IoThread, CountsWhatIsNotFinished) {
  std::atomic<bool> go{false};
  IoThread io;
  auto slow = io.submit([&] {
    while (!go) std::this_thread::sleep_for(1ms);
  });
  auto next = io.submit([] {});
  EXPECT_EQ(io.pending(), 2u);
  go = true;
  next.get();
  // The last job is counted until the thread has put it down, which may be just after its future is ready.
  for (int i = 0; i < 1000 && io.pending() > 0; ++i) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(io.pending(), 0u);
}

TEST(IoThread, TakesJobsFromManyThreads) {
  int total = 0;  // touched by the I/O thread alone
  {
    IoThread io;
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t) {
      callers.emplace_back([&] {
        for (int i = 0; i < 500; ++i) io.submit([&total] { ++total; });
      });
    }
    for (auto& caller : callers) caller.join();
  }
  EXPECT_EQ(total, 2000);
}

}  // namespace
}  // namespace tightrope
