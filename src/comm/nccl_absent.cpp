// In place of nccl_collective.cpp where the build has no NCCL.
#include "tightrope/base/check.hpp"
#include "tightrope/comm/collective.hpp"

namespace tightrope {

std::string nccl_problem(const mpi::Comm& /*comm*/, bool /*trainer*/) {
  return "collective.kind = nccl is not in this program (it was built without CUDA and NCCL) set auto, or build with "
         "cmake --preset cuda";
}

std::unique_ptr<Collective> make_nccl_collective(const CollectiveDeck& /*deck*/, const GradientPlan& /*plan*/,
                                                 const mpi::Comm& trainers) {
  throw Failure(nccl_problem(trainers, true), "", "");
}

}  // namespace tightrope
