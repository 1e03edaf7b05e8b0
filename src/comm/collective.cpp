#include "tightrope/comm/collective.hpp"

#include <algorithm>

namespace tightrope {

void CollectiveDeck::fields(FieldList& f) {
  f.choice("kind", kind, {"auto", "mpi", "nccl"},
           "what sums the gradient over the trainers; auto = nccl where several trainers compute on GPUs, else mpi; "
           "nccl takes one GPU per trainer");
  f.choice("precision", precision, {"float32", "bfloat16"}, "of the gradient while it is summed");
  f.bytes("bucket", bucket, {4096, 1 << 30}, "of the float32 gradient that are summed at a time");
  f.flag("overlap", overlap, "whether buckets are summed while the backward pass still computes others");
  f.seconds("timeout", timeout, {0.01, 1e9}, "longest wait for the other trainers' share of one bucket");
}

int64_t collective_bytes(const CollectiveDeck& deck, const GradientPlan& plan, bool sharded) {
  const int64_t bucket = std::min(plan.bucket_values, plan.values), slice = slice_size(bucket, plan.trainers);
  const int64_t buckets = std::min(nccl_buckets, static_cast<int64_t>(plan.buckets.size()));
  if (deck.kind == "nccl") return buckets * 4 * slice * plan.trainers;
  if (plan.trainers == 1) return 0;
  if (deck.precision == "bfloat16") return 2 * (sharded ? bucket + slice : bucket);
  return sharded ? 4 * slice : 0;
}

std::unique_ptr<Collective> make_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                            const mpi::Comm& trainers, bool on_gpu) {
  if (deck.kind == "nccl") return make_nccl_collective(deck, plan, trainers, on_gpu);
  return make_mpi_collective(deck, plan, trainers);
}

}  // namespace tightrope
