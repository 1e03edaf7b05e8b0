#include "tightrope/run/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "tightrope/base/mpi.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/run/signals.hpp"

namespace tightrope {
namespace {

constexpr auto kTurn = std::chrono::milliseconds(200);
constexpr auto kGrace = std::chrono::seconds(1);  // for the other ranks to speak, before this one ends the job
constexpr double kStill = 10;                     // seconds after which a rank that is being ended has something to say

bool being_ended() {
  const char* signal = signals::stop_asked();
  return signal != nullptr && std::string_view(signal) == "SIGTERM";
}

}  // namespace

Watchdog::Watchdog(double seconds, const std::string& role) : patience_(seconds), role_(role) {
  if (patience_ > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::string Watchdog::state(double seconds) const {
  const std::string wait = mpi::waiting_in();
  char text[64];
  std::snprintf(text, sizeof text, "no step for %.0f s", seconds);
  return std::string(text) + " (" + role_ + ", " + (wait.empty() ? "outside of any wait" : "waits in " + wait) + ")";
}

// The first rank whose patience ends aborts the job; the launcher then sends SIGTERM to the others, and those that
// stand still too say where.
void Watchdog::watch() {
  long long seen = steps_;
  Stopwatch since;
  bool said = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kTurn, [this] { return stop_; })) {
    if (const long long now = steps_; now != seen) {
      seen = now;
      since = {};
    }
    const double still = since.seconds();
    if (still > patience_) {
      mpi::complain(state(still) +
                    " the job is ended: look at the ranks that stand still, restart with --run.restart=auto, or raise "
                    "run.watchdog");
      if (wake_.wait_for(lock, kGrace, [this] { return stop_; })) return;
      mpi::abort_job();
    }
    if (!said && being_ended() && still > std::min(kStill, patience_ / 2)) {
      said = true;
      mpi::complain(state(still));
    }
  }
}

}  // namespace tightrope
