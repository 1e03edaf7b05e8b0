#include "tightrope/run/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "tightrope/base/check.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/run/signals.hpp"

namespace tightrope {
namespace {

constexpr auto kTurn = std::chrono::milliseconds(200);
constexpr auto kGrace = std::chrono::seconds(1);  // to tell of the other ranks, before this one ends the job
constexpr double kStill = 10;                     // seconds after which a rank that is being ended has something to say
constexpr double kSilent = 2;                     // seconds after which a rank that notes nothing has been stopped

bool being_ended() {
  const char* signal = signals::stop_asked();
  return signal != nullptr && std::string_view(signal) == "SIGTERM";
}

// Of the clock on the wall: nodes have it in common.
double seconds_since_epoch() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void copy(const std::string& text, std::span<char> field) {  // its last byte stays 0
  std::strncpy(field.data(), text.c_str(), field.size() - 1);
}

std::string standing(double seconds, const std::string& doing) {
  return "no step for " + std::to_string(static_cast<long long>(seconds)) + " s (" + doing + ")";
}

}  // namespace

// A reader may find a text half replaced: what it then says is of two moments 0.2 s apart.
struct Watchdog::State {
  std::atomic<double> noted;    // seconds since the epoch; 0: has not entered the loop
  std::atomic<double> stepped;  // when it made its last step, or entered the loop
  std::atomic<int64_t> update;  // that it then was at
  std::atomic<int64_t> fired;   // it ends the job, and has said where it stands
  std::atomic<int64_t> told;    // another rank has said it
  char place[160], doing[160];
};

Watchdog::Watchdog(double seconds, const std::string& role, mpi::Window& states, int ranks)
    : patience_(seconds), role_(role), states_(states), ranks_(ranks) {
  static_assert(sizeof(State) <= state_bytes);
  copy(mpi::place(), state().place);
  state().stepped = seconds_since_epoch();
  note();
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

Watchdog::State& Watchdog::state() const { return *reinterpret_cast<State*>(states_.local().data()); }

std::string Watchdog::doing() const {
  const std::string wait = mpi::waiting_in();
  return role_ + ", " + (wait.empty() ? "outside of any wait" : "waits in " + wait);
}

void Watchdog::step(int64_t update) {
  ++steps_;
  state().update = update;
  state().stepped = seconds_since_epoch();
}

void Watchdog::note() {
  copy(doing(), state().doing);
  state().noted = seconds_since_epoch();
}

void Watchdog::watch() {
  long long seen = steps_;
  Stopwatch since;
  bool said = false;
  State& mine = state();
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kTurn, [this] { return stop_; })) {
    if (const long long steps = steps_; steps != seen) {
      seen = steps;
      since = {};
    }
    note();
    const double still = since.seconds();
    if (still > patience_) return end_job(lock);
    if (!said && mine.told == 0 && being_ended() && still > std::min(kStill, patience_ / 2)) {
      said = true;
      mpi::complain(standing(still, mine.doing));
    }
  }
}

// The first rank whose patience ends does this; the launcher then sends SIGTERM to the others, and those that stand
// still too and of which nobody could tell say so themselves.
void Watchdog::end_job(std::unique_lock<std::mutex>& lock) {
  State& mine = state();
  mine.fired = 1;
  mpi::complain(standing(seconds_since_epoch() - mine.stepped, mine.doing) +
                " the job is ended: look at the ranks that stand still, restart with --run.restart=auto, or raise "
                "run.watchdog");
  std::thread teller;  // of its own: over a network a rank that never enters MPI does not answer
  if (mpi::thread_multiple()) teller = std::thread([this] { tell_of_others(); });
  if (!wake_.wait_for(lock, kGrace, [this] { return stop_; })) mpi::abort_job();
  if (teller.joinable()) teller.join();
}

void Watchdog::tell_of_others() const {
  try {
    for (int rank = 0; rank < ranks_; ++rank) {
      if (rank == states_.rank()) continue;
      alignas(State) std::byte copied[sizeof(State)] = {};
      const int64_t told = 1;
      states_.get(rank, 0, copied);
      states_.put(rank, offsetof(State, told), std::as_bytes(std::span(&told, 1)));
      states_.flush(rank);
      const auto& other = *reinterpret_cast<const State*>(copied);
      if (other.fired != 0 && rank < states_.rank()) return;  // it tells of those that follow
      if (other.fired != 0) continue;
      const double now = seconds_since_epoch();
      std::string line = "rank " + std::to_string(rank) + " has not begun";
      if (other.noted > 0)
        line = std::string(other.place) + " at step " + std::to_string(other.update) + ": " +
               standing(now - other.stepped, other.doing) + (now - other.noted > kSilent ? ", stopped or dead" : "");
      std::fprintf(stderr, "%s\n", line.c_str());
    }
  } catch (const Failure&) {
    // The job ends; those who could not be asked speak for themselves.
  }
}

}  // namespace tightrope
