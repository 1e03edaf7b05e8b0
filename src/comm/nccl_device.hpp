#pragma once
// Private to nccl_*.cpp: which GPU is a trainer's.
#include "tightrope/base/mpi.hpp"

namespace tightrope {

// Of a trainer, by its rank among the trainers of its node and the GPUs that it sees: its rank, or the only one.
int gpu_of_trainer(const mpi::Comm& node);

}  // namespace tightrope
