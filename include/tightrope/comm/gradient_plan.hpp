#pragma once
// GradientPlan: how the flat gradient is cut to be summed over the trainers.  Pure; the same on all trainers, whatever
// moves the bytes.
//
// Buckets are of one size and begin at its multiples; the one with the last values goes first, and may be shorter: a
// backward pass completes the gradient from its end, the outputs, to its beginning.  Each bucket has one slice per
// trainer, of which it keeps the moments where the optimiser is sharded (ZeRO-1, Rajbhandari et al. 2020, sec. 5.1).
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tightrope/core/extent.hpp"

namespace tightrope {

// Values in each slice but the last ones, which may be shorter or empty: a multiple of 16, so that a vector
// instruction never sees two slices and arithmetic on slices gives the same bits as on the whole.
int64_t slice_size(int64_t values, int slices);

struct GradientPlan {
  GradientPlan(int64_t values, int64_t bucket_bytes, int trainers);

  Extent slice(const Extent& bucket, int trainer) const;  // may be empty
  std::vector<Extent> shard(int trainer) const;           // its slices that are not empty, ascending

  int64_t values, bucket_values;
  int trainers;
  std::vector<Extent> buckets;  // in the order of their sums
};

// How far one backward pass has come.
class BucketProgress {
 public:
  explicit BucketProgress(const GradientPlan& plan) : plan_(&plan) { begin(); }
  void begin();
  // The pass will not touch these values again.  Throws Failure where it said so before: then it had touched them.
  void complete(const Extent& values);
  size_t ready() const { return ready_; }  // buckets 0 .. ready()-1 are complete

 private:
  const GradientPlan* plan_;
  std::vector<int64_t> missing_;  // values, per bucket
  size_t ready_ = 0;
};

}  // namespace tightrope
