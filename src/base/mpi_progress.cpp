#include <algorithm>
#include <chrono>

#include "mpi_call.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto busy_for = std::chrono::milliseconds(20);
constexpr double passive_below_us = 5000;  // a quarter of busy_for: an operation that waited for the target is above

// Median time of an 8-byte put + flush, in us, over at most 200 of them or busy_for.
double median_put_us(Window& window, int target) {
  const uint64_t word = 1;
  std::vector<double> times;
  const auto end = Clock::now() + busy_for;
  for (auto now = Clock::now(); times.size() < 200 && now < end;) {
    window.put(target, 0, std::as_bytes(std::span(&word, 1)));
    window.flush(target);
    const auto after = Clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(after - now).count());
    now = after;
  }
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

Passivity probe_passivity(const Comm& comm) {
  Passivity result;
  if (comm.size() == 1) return result;
  Window window(comm, 64);
  // Rank r writes to rank r + half: where ranks fill several nodes in blocks, these are on different ones.
  const int half = comm.size() / 2;
  const bool origin = comm.rank() < half, target = comm.rank() >= half && comm.rank() < 2 * half;
  if (origin) result.idle_us = median_put_us(window, comm.rank() + half);
  comm.barrier();
  if (origin) result.busy_us = median_put_us(window, comm.rank() + half);
  if (target) std::this_thread::sleep_for(busy_for);
  comm.barrier();
  int64_t nanoseconds[2] = {static_cast<int64_t>(result.idle_us * 1e3), static_cast<int64_t>(result.busy_us * 1e3)};
  comm.max(nanoseconds);
  result.idle_us = static_cast<double>(nanoseconds[0]) * 1e-3;
  result.busy_us = static_cast<double>(nanoseconds[1]) * 1e-3;
  result.passive = result.busy_us < passive_below_us;
  return result;
}

Progress::Progress(const Comm& comm) : comm_(comm.duplicate()) {
  VALIDATE(thread_multiple(), "a progress thread cannot run", "this MPI library does not grant MPI_THREAD_MULTIPLE",
           "set world.progress = off");
  thread_ = std::thread([this] {
    guarded([this] {
      while (!stop_.load(std::memory_order_relaxed)) {
        comm_.poll();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      return 0;
    });
  });
}

Progress::~Progress() {
  stop_ = true;
  thread_.join();
}

}  // namespace tightrope::mpi
