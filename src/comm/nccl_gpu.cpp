#include <algorithm>
#include <array>
#include <set>

#include "cuda_call.hpp"
#include "tightrope/comm/gpu.hpp"

namespace tightrope {
namespace {

int visible_gpus() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

// "" where there is none.
std::string bus_id(int gpu) {
  std::array<char, 32> text{};
  return cudaDeviceGetPCIBusId(text.data(), text.size(), gpu) == cudaSuccess ? text.data() : "";
}

// Collective over the trainers of a node; the answer is on its first rank.
std::string problem_of_node(const mpi::Comm& node, const std::string& key) {
  const int visible = visible_gpus(), gpu = gpu_of_trainer(node);
  const auto ids = node.gather(gpu < visible ? bus_id(gpu) : "", 0);
  int64_t fewest[1] = {-visible};
  node.max(fewest);
  if (node.rank() != 0) return "";
  const std::string here = mpi::host_name() + ": " + std::to_string(node.size()) + " trainers; " +
                           std::to_string(-fewest[0]) + " GPUs are visible to one of them";
  const std::string advice =
      "start fewer trainers per node or ask for more GPUs (--gpus-per-node), or set world.device = cpu and "
      "collective.kind = mpi";
  if (fewest[0] == 0)
    return key + " needs a GPU per trainer (" + here +
           ") run trainers on nodes with GPUs, or set world.device = cpu and collective.kind = mpi";
  if (std::ranges::count(ids, "") > 0) return "there are more trainers than GPUs on a node (" + here + ") " + advice;
  if (std::set(ids.begin(), ids.end()).size() < ids.size())
    return "two trainers are on one GPU (" + here + ", " + ids.front() + " is the first trainer's) " + advice;
  return "";
}

}  // namespace

int gpu_of_trainer(const mpi::Comm& node) { return visible_gpus() == 1 ? 0 : node.rank(); }

std::string gpu_problem(const mpi::Comm& comm, bool trainer, const std::string& key) {
  const mpi::Comm trainers = comm.split(trainer ? 0 : -1, comm.rank());
  return comm.first(trainer ? problem_of_node(trainers.split_by_node(), key) : "");
}

}  // namespace tightrope
