// tightrope DECK [--section.key=value ...]: one run, the same program on every rank.
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdio>

#include "tightrope/base/allocation.hpp"
#include "tightrope/run/command_line.hpp"
#include "tightrope/run/run.hpp"
#include "tightrope/run/signals.hpp"
#include "tightrope/tasks/registry.hpp"

namespace {

using namespace tightrope;

int run(const CommandLine& command, const Stopwatch& started) {
  mpi::Comm comm = mpi::Comm::world();
  const auto deck = read_deck(command, comm);
  if (!deck) return 2;
  const bool first = comm.rank() == 0;
  if (command.print_deck && first) std::printf("%s", deck->print().c_str());
  if (command.print_deck) return 0;

  const auto prepared = prepare(*deck, comm);
  if (!prepared) return 2;
  if (command.check && first)
    std::printf("%s%s", prepared->plan.describe(*deck).c_str(), prepared->task->summary().c_str());
  if (command.check) return 0;

  const World world(std::move(comm), deck->get<WorldDeck>());
  at::set_num_threads(world.threads());
  at::globalContext().setFlushDenormal(true);  // Adam's moments shrink to denormals after convergence: 5x slower
  return Run(world, *deck, *prepared->task, prepared->plan, command.run_name(), started).execute();
}

}  // namespace

int main(int argc, char** argv) {
  const tightrope::Stopwatch started;
  const auto command = tightrope::CommandLine::parse(argc, argv);
  if (command.exit_code) return *command.exit_code;
  tightrope::keep_freed_memory();
  tightrope::signals::watch();
  tightrope::mpi::Session session(argc, argv);
  return tightrope::mpi::guarded([&] { return run(command, started); });
}
