#include "tightrope/comm/gradient_plan.hpp"

#include <algorithm>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr int64_t kAlignment = 16;  // values: the widest vector register

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

int64_t slice_size(int64_t values, int slices) { return round_up((values + slices - 1) / slices, kAlignment); }

GradientPlan::GradientPlan(int64_t all_values, int64_t bucket_bytes, int number_of_trainers)
    : values(all_values),
      bucket_values(round_up(std::max<int64_t>(bucket_bytes / static_cast<int64_t>(sizeof(float)), 1), kAlignment)),
      trainers(number_of_trainers) {
  for (int64_t end = values; end > 0; end = buckets.back().offset) {
    const int64_t offset = (end - 1) / bucket_values * bucket_values;
    buckets.push_back({offset, end - offset});
  }
}

Extent GradientPlan::slice(const Extent& bucket, int trainer) const {
  const int64_t size = slice_size(bucket.size, trainers),
                first = std::min(bucket.offset + trainer * size, bucket.end());
  return {first, std::min(size, bucket.end() - first)};
}

std::vector<Extent> GradientPlan::shard(int trainer) const {
  std::vector<Extent> slices;
  for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket)
    if (const Extent own = slice(*bucket, trainer); own.size > 0) slices.push_back(own);
  return slices;
}

void BucketProgress::begin() {
  missing_.clear();
  for (const Extent& bucket : plan_->buckets) missing_.push_back(bucket.size);
  ready_ = 0;
}

void BucketProgress::complete(const Extent& values) {
  EXPECT(values.offset >= 0 && values.end() <= plan_->values);
  const auto last = static_cast<int64_t>(missing_.size()) - 1;
  for (int64_t first = values.offset; first < values.end();) {
    const int64_t column = first / plan_->bucket_values;  // from the beginning, while buckets count from the end
    const int64_t end = std::min(values.end(), (column + 1) * plan_->bucket_values);
    int64_t& missing = missing_[static_cast<size_t>(last - column)];
    missing -= end - first;
    VALIDATE(missing >= 0, "a gradient changed after it was complete",
             "values from " + std::to_string(values.offset) + " on were said to be done twice in one backward pass",
             "this is a mistake in the task or policy: please report it, and set collective.overlap = no meanwhile");
    first = end;
  }
  while (ready_ < missing_.size() && missing_[ready_] == 0) ++ready_;
}

}  // namespace tightrope
