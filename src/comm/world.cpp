#include "tightrope/comm/world.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdio>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

int cores_of_process() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return ::sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

}  // namespace

void WorldDeck::fields(FieldList& f) {
  f.count("trainers", trainers, {1, 1e6}, "ranks", "ranks that update the policy; each holds a replay store");
  f.count("searchers", searchers, {0, 1e6}, "ranks",
          "ranks that sample trajectories; 0 = the rest, or every rank where all are trainers");
  f.count("threads", threads, {0, 4096}, "threads",
          "threads for the mathematics of a rank; 0 = the cores that it may use, divided by the ranks of its node");
  f.choice("progress", progress, {"auto", "thread", "off"},
           "a thread that serves one-sided operations of others: auto = where a measurement at the start says so");
  f.choice("device", device, {"auto", "cpu", "cuda"},
           "where trainers compute: auto = cuda where each of them has a GPU of its own, else cpu, which keeps all off "
           "the GPUs; searchers sample on the CPU");
}

Roles Roles::of(const WorldDeck& deck, int ranks) {
  const int64_t trainers = deck.trainers;
  int64_t searchers = deck.searchers;
  if (searchers == 0) searchers = trainers == ranks ? ranks : std::max<int64_t>(ranks - trainers, 1);
  const bool both = trainers == ranks && searchers == ranks;
  const std::string wish = std::to_string(trainers) + " trainers and " + std::to_string(searchers) + " searchers on " +
                           std::to_string(ranks) + " ranks";
  const std::string advice = "start " + std::to_string(trainers + searchers) +
                             " ranks, or change world.trainers and world.searchers (searchers = 0 takes the rest)";
  VALIDATE(both || trainers + searchers <= ranks, "fewer ranks than roles", wish, advice);
  VALIDATE(both || trainers + searchers == ranks, "more ranks than roles", wish, advice);
  return {static_cast<int>(trainers), static_cast<int>(searchers), both};
}

World::World(mpi::Comm comm, const WorldDeck& deck)
    : comm_(std::move(comm)),
      trainers_(comm_.split(comm_.rank() < deck.trainers ? 0 : -1, comm_.rank())),
      roles_(Roles::of(deck, comm_.size())) {
  const mpi::Comm node = comm_.split_by_node();
  ranks_on_node_ = node.size();
  // The affinity mask is the rank's own where the launcher binds, the node's where it does not.
  int64_t shared_mask = cores_of_process();
  node.max(std::span(&shared_mask, 1));
  const bool bound =
      node.size() > 1 && shared_mask * node.size() <= static_cast<int64_t>(std::thread::hardware_concurrency());
  const int64_t cores = bound ? cores_of_process() : shared_mask / node.size();
  threads_ = static_cast<int>(std::max<int64_t>(deck.threads > 0 ? deck.threads : cores, 1));
  passivity_ = mpi::probe_passivity(comm_);
  const bool wanted =
      deck.progress == "thread" || (deck.progress == "auto" && !passivity_.passive && mpi::thread_multiple());
  if (wanted) progress_ = std::make_unique<mpi::Progress>(comm_);
}

int World::searcher() const {
  if (roles_.both) return comm_.rank();
  const int index = comm_.rank() - (comm_.size() - roles_.searchers);
  return index >= 0 ? index : -1;
}

int World::owner(int64_t query, int64_t id, int64_t queries) const {
  const auto key = static_cast<uint64_t>(queries >= roles_.trainers ? query : id);
  return static_cast<int>(key % static_cast<uint64_t>(roles_.trainers));
}

std::string World::summary() const {
  char times[96];
  std::snprintf(times, sizeof times, "put %.1f us to an idle, %.1f us to a busy rank", passivity_.idle_us,
                passivity_.busy_us);
  return std::to_string(roles_.trainers) + " trainers, " + std::to_string(roles_.searchers) + " searchers" +
         (roles_.both ? " (every rank both)" : "") + ", " + std::to_string(threads_) +
         " threads per rank; one-sided: " + (passivity_.passive ? "passive" : "served by the target") + " (" + times +
         ")" + (progress_ ? ", progress thread" : "");
}

}  // namespace tightrope
