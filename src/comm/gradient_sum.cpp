#include "tightrope/comm/gradient_sum.hpp"

#include <algorithm>
#include <vector>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

std::span<float> part(std::span<float> values, const Extent& extent) {
  return values.subspan(static_cast<size_t>(extent.offset), static_cast<size_t>(extent.size));
}

}  // namespace

GradientSum::GradientSum(const GradientPlan& plan, int trainer, Collective& collective, std::span<float> gradient,
                         bool sharded)
    : plan_(plan),
      trainer_(trainer),
      progress_(plan_),
      collective_(collective),
      gradient_(gradient),
      sharded_(sharded) {
  EXPECT(static_cast<int64_t>(gradient.size()) == plan.values);
}

void GradientSum::begin() {
  progress_.begin();
  within_ = true;
}

void GradientSum::complete(const Extent& values) {
  if (!within_) return;
  progress_.complete(values);
  start(progress_.ready());
}

void GradientSum::finish() {
  start(plan_.buckets.size());
  collective_.finish();
  within_ = false;
  started_ = 0;
}

void GradientSum::start(size_t end) {
  for (; started_ < end; ++started_) {
    const auto values = part(gradient_, plan_.buckets[started_]);
    sharded_ ? collective_.sum_slices(values) : collective_.sum(values);
  }
}

void GradientSum::broadcast(std::span<float> values) {
  if (plan_.trainers == 1) return;
  for (const Extent& bucket : plan_.buckets) collective_.broadcast(part(values, bucket));
  collective_.finish();
}

void GradientSum::gather(std::span<float> values) {
  for (const Extent& bucket : plan_.buckets) collective_.gather_slices(part(values, bucket));
  collective_.finish();
}

void GradientSum::gather(std::span<const float> shard, const Extent& wanted, std::span<float> to) {
  std::vector<float> values;
  for (const Extent& bucket : plan_.buckets) {  // from the last, as the shard is used up
    const Extent own = plan_.slice(bucket, trainer_);
    const auto mine = shard.last(static_cast<size_t>(own.size));
    shard = shard.first(shard.size() - mine.size());
    values.resize(static_cast<size_t>(bucket.size));
    std::ranges::copy(mine, values.begin() + (own.offset - bucket.offset));
    collective_.gather_slices(values);
    collective_.finish();
    const int64_t first = std::max(bucket.offset, wanted.offset), end = std::min(bucket.end(), wanted.end());
    if (first < end)
      std::ranges::copy(part(values, {first - bucket.offset, end - first}), to.begin() + (first - wanted.offset));
  }
}

}  // namespace tightrope
