#pragma once
// Collective: what the trainers do together, on contiguous spans.  MPI here; NCCL fits behind the same interface:
// stream-ordered, start() may overlap with computation, finish() makes the result visible.
#include <memory>
#include <span>
#include <string>

#include "tightrope/base/mpi.hpp"

namespace tightrope {

class Collective {
 public:
  virtual ~Collective() = default;
  virtual void broadcast(std::span<float> values, int root) = 0;
  // Starts the sum over the trainers, in place; the span must stay untouched until finish().
  virtual void start(std::span<float> values) = 0;
  virtual void finish() = 0;
  virtual std::string name() const = 0;
};

// Bit-identical results on every trainer; repeatable for a fixed number of trainers.
std::unique_ptr<Collective> make_mpi_collective(const mpi::Comm& trainers);

#ifdef TIGHTROPE_CUDA
// Collective call.  One device per trainer: its rank among the trainers of its node.  Spans are host memory, staged
// through the device; they need not be pinned.  Throws Failure where the node has no (or too few) CUDA devices.
std::unique_ptr<Collective> make_nccl_collective(const mpi::Comm& trainers);
#endif

}  // namespace tightrope
