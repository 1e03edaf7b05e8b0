// In place of nccl_*.cpp where the build has neither CUDA nor NCCL.
#include "tightrope/base/check.hpp"
#include "tightrope/comm/collective.hpp"
#include "tightrope/comm/gpu.hpp"

namespace tightrope {

std::string gpu_problem(const mpi::Comm& /*comm*/, bool /*trainer*/, const std::string& key) {
  return key +
         " is not in this program (it was built without CUDA and NCCL) set auto, or build with cmake --preset cuda";
}

int gpu_of_trainer(const mpi::Comm& /*node*/) { return 0; }

std::unique_ptr<Collective> make_nccl_collective(const CollectiveDeck& /*deck*/, const GradientPlan& /*plan*/,
                                                 const mpi::Comm& trainers, bool /*on_gpu*/) {
  throw Failure(gpu_problem(trainers, true, "collective.kind = nccl"), "", "");
}

}  // namespace tightrope
