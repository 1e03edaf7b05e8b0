#pragma once
// Which GPU is a trainer's.  In a build without CUDA there is none.
#include <string>

#include "tightrope/base/mpi.hpp"

namespace tightrope {

// Collective over all ranks: why `key` (a deck's key and value, which asks for a GPU per trainer) cannot be had with
// these trainers ("problem (why) what to do"), the same on all ranks; "" where it can.
std::string gpu_problem(const mpi::Comm& comm, bool trainer, const std::string& key);

// Of a trainer, by its rank among the trainers of its node and the GPUs that it sees: its rank, or the only one.
int gpu_of_trainer(const mpi::Comm& node);

}  // namespace tightrope
