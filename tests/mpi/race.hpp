#pragma once
// What the races share: payloads that are a function of a key, random naps, and who plays which role.
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "tightrope/base/mpi.hpp"

namespace tightrope::race {

inline uint64_t word_of(uint64_t key, uint64_t i) { return (key + 1) * 0x9e3779b97f4a7c15u + i * 0xc2b2ae3d27d4eb4fu; }

inline void fill(std::span<std::byte> payload, uint64_t key) {
  for (size_t at = 0; at < payload.size(); at += 8) {
    const uint64_t word = word_of(key, at);
    std::memcpy(payload.data() + at, &word, std::min<size_t>(8, payload.size() - at));
  }
}

inline bool matches(std::span<const std::byte> payload, uint64_t key) {
  for (size_t at = 0; at < payload.size(); at += 8) {
    const uint64_t word = word_of(key, at);
    if (std::memcmp(payload.data() + at, &word, std::min<size_t>(8, payload.size() - at)) != 0) return false;
  }
  return true;
}

// Naps of up to `most` microseconds, one time in `seldom`.
class Naps {
 public:
  Naps(unsigned seed, int seldom, int most) : generator_(seed), seldom_(seldom), most_(most) {}
  void maybe() {
    if (static_cast<int>(generator_() % static_cast<unsigned>(seldom_)) != 0) return;
    std::this_thread::sleep_for(std::chrono::microseconds(generator_() % static_cast<unsigned>(most_)));
  }
  uint32_t number() { return static_cast<uint32_t>(generator_()); }

 private:
  std::minstd_rand generator_;
  int seldom_, most_;
};

// A time budget: the same test is long enough on shared memory and short enough over TCP.
class Budget {
 public:
  explicit Budget(int milliseconds)
      : end_(std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds)) {}
  bool left() const { return std::chrono::steady_clock::now() < end_; }

 private:
  std::chrono::steady_clock::time_point end_;
};

// Whether one-sided operations take the time of a network: naps must then be longer for one side to get ahead of the
// other at all.  Collective.
inline bool slow_network(const mpi::Comm& comm) { return mpi::probe_passivity(comm).idle_us > 5; }

// Actors against one watcher on rank 0: the other ranks, or a second thread where there is only one rank.
inline int actors(const mpi::Comm& comm) { return comm.size() == 1 ? 1 : comm.size() - 1; }

inline void play(const mpi::Comm& comm, const std::function<void(int actor)>& act, const std::function<void()>& watch) {
  if (comm.size() == 1) {
    std::thread actor([&] { act(0); });
    watch();
    actor.join();
  } else if (comm.rank() == 0) {
    watch();
  } else {
    act(comm.rank() - 1);
  }
  comm.barrier();
}

}  // namespace tightrope::race
