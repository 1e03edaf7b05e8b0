// Where buckets and slices lie, and when a bucket is complete.
#include "tightrope/comm/gradient_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

TEST(GradientPlan, BucketsCoverTheGradientFromItsEnd) {
  for (const int64_t values : {1, 15, 16, 1024, 1025, 5000}) {
    const GradientPlan plan(values, 4096, 3);
    EXPECT_EQ(plan.bucket_values, 1024);
    int64_t end = values;
    for (const Extent& bucket : plan.buckets) {
      EXPECT_EQ(bucket.end(), end);
      EXPECT_EQ(bucket.offset % 1024, 0);
      EXPECT_LE(bucket.size, 1024);
      end = bucket.offset;
    }
    EXPECT_EQ(end, 0);
  }
  EXPECT_TRUE(GradientPlan(0, 4096, 2).buckets.empty());
}

TEST(GradientPlan, ShardsCoverEveryValueOnceAndBeginAtVectors) {
  for (const int trainers : {1, 2, 3, 4, 7}) {
    for (const int64_t values : {1, 17, 1024, 5003}) {
      const GradientPlan plan(values, 4096, trainers);
      std::vector<int> owners(static_cast<size_t>(values));
      for (int t = 0; t < trainers; ++t) {
        int64_t before = 0;
        for (const Extent& slice : plan.shard(t)) {
          EXPECT_EQ(slice.offset % 16, 0);
          EXPECT_GE(slice.offset, before);
          EXPECT_GT(slice.size, 0);
          before = slice.end();
          for (int64_t i = slice.offset; i < slice.end(); ++i) ++owners[static_cast<size_t>(i)];
        }
      }
      EXPECT_EQ(std::ranges::count(owners, 1), values) << trainers << " trainers, " << values << " values";
    }
  }
}

TEST(BucketProgress, ABucketIsReadyWithItsLastValueAndInOrder) {
  const GradientPlan plan(3000, 4096, 2);  // 2048..2999, 1024..2047, 0..1023
  BucketProgress progress(plan);
  progress.complete({0, 1100});  // a bucket and a part of the next: the first one is still missing
  EXPECT_EQ(progress.ready(), 0U);
  progress.complete({2048, 952});
  EXPECT_EQ(progress.ready(), 1U);
  progress.complete({1100, 948});
  EXPECT_EQ(progress.ready(), 3U);
  progress.begin();
  EXPECT_EQ(progress.ready(), 0U);
}

TEST(BucketProgress, InAnyOrderOfParametersEachBucketBecomesReadyOnce) {
  std::minstd_rand random(1);
  for (int turn = 0; turn < 50; ++turn) {
    const GradientPlan plan(1 + static_cast<int64_t>(random() % 20000), 4096, 2);
    std::vector<Extent> parameters;
    for (int64_t first = 0; first < plan.values; first = parameters.back().end())
      parameters.push_back({first, std::min<int64_t>(1 + static_cast<int64_t>(random() % 3000), plan.values - first)});
    std::ranges::shuffle(parameters, random);
    BucketProgress progress(plan);
    size_t before = 0;
    for (const Extent& parameter : parameters) {
      progress.complete(parameter);
      EXPECT_GE(progress.ready(), before);
      before = progress.ready();
    }
    EXPECT_EQ(before, plan.buckets.size());
  }
}

TEST(BucketProgress, WhatChangesAfterItWasCompleteIsAFailure) {
  const GradientPlan plan(2000, 4096, 2);
  BucketProgress progress(plan);
  progress.complete({1024, 976});
  EXPECT_THROW(progress.complete({1999, 1}), Failure);
}

}  // namespace
}  // namespace tightrope
