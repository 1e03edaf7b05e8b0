#pragma once
// GradientSum: the flat gradient, summed over the trainers bucket by bucket while the backward pass goes on.
#include <span>

#include "tightrope/comm/collective.hpp"
#include "tightrope/comm/gradient_plan.hpp"

namespace tightrope {

class GradientSum {
 public:
  // sharded: every trainer gets the sum of its shard only.  collective and gradient must outlive this.
  GradientSum(const GradientPlan& plan, int trainer, Collective& collective, std::span<float> gradient, bool sharded);
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  // The backward pass that follows is the update's last: complete buckets may be on their way before it ends.
  void begin();
  // See BucketProgress.  Outside of a pass that began, nothing.
  void complete(const Extent& values);
  // Collective.  Sums what is not yet on its way, zeros of unused parameters too, and waits for all.
  void finish();

  // Collective.  Trainer 0's values, which are as many as the gradient's, to all.
  void broadcast(std::span<float> values);
  // Collective.  Each trainer's shard of `values`, which are as many as the gradient's, to all.
  void gather(std::span<float> values);
  // Collective.  The same where each trainer has nothing but its shard, one slice after another, and wants some of all
  // values.  Takes the memory of one bucket.
  void gather(std::span<const float> shard, const Extent& wanted, std::span<float> to);

 private:
  void start(size_t end);

  GradientPlan plan_;
  int trainer_;
  BucketProgress progress_;
  Collective& collective_;
  std::span<float> gradient_;
  bool sharded_, within_ = false;
  size_t started_ = 0;  // buckets
};

}  // namespace tightrope
