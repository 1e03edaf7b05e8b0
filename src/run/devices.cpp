#include "tightrope/comm/gpu.hpp"
#include "tightrope/core/gpu_part.hpp"
#include "tightrope/run/decks.hpp"

namespace tightrope {
void choose_devices(const Deck& deck, const mpi::Comm& comm, Plan& plan) {
  const bool trainer = comm.rank() < plan.roles.trainers;
  const std::string &device = deck.get<WorldDeck>().device, &kind = deck.get<CollectiveDeck>().kind;
  const auto require = [&](const std::string& problem, const std::string& key) {
    if (!problem.empty()) throw DeckError({deck.origin(key) + ": " + problem});
  };
  if (kind == "nccl") require(gpu_problem(comm, trainer, "collective.kind = nccl"), "collective.kind");
  if (device == "cpu") return;
  std::string problem = gpu_problem(comm, trainer, "world.device = cuda");
  if (problem.empty()) {
    const mpi::Comm trainers = comm.split(trainer ? 0 : -1, comm.rank());
    if (trainer) plan.gpu = gpu_of_trainer(trainers.split_by_node());
    problem = comm.first(trainer ? open_gpu(plan.gpu) : "");
  }
  if (device == "cuda") require(problem, "world.device");
  plan.on_gpus = problem.empty();
  if (plan.on_gpus && kind == "auto" && plan.roles.trainers > 1) plan.collective.kind = "nccl";
}

}  // namespace tightrope
