#pragma once
// Collective: sums over the trainers, by MPI or by NCCL.
#include <memory>
#include <span>
#include <string>

#include "tightrope/base/mpi.hpp"
#include "tightrope/comm/gradient_plan.hpp"
#include "tightrope/core/deck.hpp"

namespace tightrope {

struct CollectiveDeck {
  static constexpr const char* section = "collective";
  std::string kind = "auto";          // auto | mpi | nccl
  std::string precision = "float32";  // float32 | bfloat16: of the gradient on its way
  int64_t bucket = 25 << 20;          // bytes of float32 gradient
  bool overlap = true;
  double timeout = 1800;  // seconds
  void fields(FieldList& f);
};

// One thread calls.  Operations run one after another in the order of the calls, which must be the same on all
// trainers, and may go on beside the caller: their spans stay untouched until finish().
class Collective {
 public:
  virtual ~Collective() = default;
  // All get the sum, with the same bits.
  virtual void sum(std::span<float> values) = 0;
  // Trainer t gets slice t of the sum (slice_size() of gradient_plan.hpp); what its other values are is not said.
  virtual void sum_slices(std::span<float> values) = 0;
  // All get slice t of trainer t, in float32.
  virtual void gather_slices(std::span<float> values) = 0;
  // All get what trainer 0 has, in float32.
  virtual void broadcast(std::span<float> values) = 0;
  // Waits for all operations.  Throws what went wrong in one of them: Failure that names it and the trainers that
  // did not come to it within the deck's timeout.
  virtual void finish() = 0;
  virtual std::string name() const = 0;  // for people
};

// `kind` mpi or nccl, for the buckets of a plan.  Collective call over the trainers.
// on_gpu: spans may be memory of the trainer's GPU, which what was given to the default stream has written; nccl in
// float32 only.
std::unique_ptr<Collective> make_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                            const mpi::Comm& trainers, bool on_gpu = false);

// Runs operations on a thread of its own where there is something to overlap and MPI grants THREAD_MULTIPLE.
// Repeatable for a fixed number of trainers.
std::unique_ptr<Collective> make_mpi_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                                const mpi::Comm& trainers);

// One GPU per trainer (gpu_of_trainer).  nccl_buckets at a time go through buffers on it: copied there on the GPU, or
// by way of pinned memory from the host.
constexpr int64_t nccl_buckets = 4;
std::unique_ptr<Collective> make_nccl_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                                 const mpi::Comm& trainers, bool on_gpu);

// What one takes of host memory, in bytes, but for what the libraries take.
int64_t collective_bytes(const CollectiveDeck& deck, const GradientPlan& plan, bool sharded);

}  // namespace tightrope
