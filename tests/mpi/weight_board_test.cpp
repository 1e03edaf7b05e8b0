// WeightBoard: what readers get is one whole version, whenever they ask.
#include "tightrope/comm/weight_board.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "race.hpp"

namespace tightrope {
namespace {

using Precision = WeightBoard::Precision;

float weight_of(int64_t version, size_t i) {
  return static_cast<float>((version * 31 + static_cast<int64_t>(i)) % 251);
}

std::vector<float> weights_of(int64_t version, size_t count) {
  std::vector<float> weights(count);
  for (size_t i = 0; i < count; ++i) weights[i] = weight_of(version, i);
  return weights;
}

TEST(WeightBoard, GivesWhatWasPublishedOnlyWhenItIsNewer) {
  const mpi::Comm comm = mpi::Comm::world();
  for (const size_t count : {size_t{1}, size_t{1000}, size_t{100003}}) {
    for (const auto precision : {Precision::float32, Precision::bfloat16}) {
      WeightBoard board(comm, 0, static_cast<int64_t>(count), precision, 4096);
      std::vector<float> seen(count, -1);
      EXPECT_FALSE(board.refresh(-1, seen));
      EXPECT_EQ(board.control().version, -1);
      comm.barrier();
      for (int64_t version = 0; version < 7; ++version) {
        if (comm.rank() == 0) {
          board.publish(version, weights_of(version, count));
          board.set_control({version, 2 * version, 3 * version, version == 6});
        }
        comm.barrier();
        EXPECT_EQ(board.refresh(version - 1, seen), version);
        EXPECT_EQ(seen, weights_of(version, count));  // whole numbers below 256 are exact in bfloat16
        EXPECT_FALSE(board.refresh(version, seen));
        const auto control = board.control();
        EXPECT_EQ(control.phase, 2 * version);
        EXPECT_EQ(control.step, 3 * version);
        EXPECT_EQ(control.stop, version == 6);
        comm.barrier();
      }
      EXPECT_EQ(board.retries(), 0u);
    }
  }
}

TEST(WeightBoard, Bfloat16RoundsToNearestEvenAndKeepsNaN) {
  const mpi::Comm comm = mpi::Comm::world();
  WeightBoard board(comm, 0, 6, Precision::bfloat16);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> weights = {1.00390625f, 1.01171875f, -3.14159265f, infinity, std::nanf(""), 0.0f};
  if (comm.rank() == 0) {
    board.publish(1, weights);
    board.set_control({1, 0, 1, false});
  }
  comm.barrier();
  std::vector<float> seen(6);
  ASSERT_EQ(board.refresh(-1, seen), 1);
  EXPECT_EQ(seen[0], 1.0f);       // halfway between 1 and 1 + 2^-7: to even
  EXPECT_EQ(seen[1], 1.015625f);  // halfway between 1 + 2^-7 and 1 + 2^-6: to even
  EXPECT_EQ(seen[2], -3.140625f);
  EXPECT_EQ(seen[3], infinity);
  EXPECT_TRUE(std::isnan(seen[4]));
  EXPECT_EQ(seen[5], 0.0f);
  comm.barrier();
}

// A publisher that never waits, readers that nap: no version ever mixes with another, nor do the control words.
void race_for(Precision precision, int milliseconds) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr size_t count = 20011;
  WeightBoard board(comm, 0, count, precision, 4096);
  const bool slow = race::slow_network(comm);
  int64_t got = 0;
  const auto publish = [&] {
    race::Naps naps(1, slow ? 1 : 4, slow ? 60000 : 400);
    int64_t version = 0;
    for (const race::Budget budget(milliseconds); budget.left(); naps.maybe(), ++version) {
      board.publish(version, weights_of(version, count));
      board.set_control({version, 2 * version, 3 * version, false});
    }
    board.publish(version, weights_of(version, count));
    board.set_control({version, 2 * version, 3 * version, true});
  };
  // One rank only: the reader is a thread, with the publisher's board (reading changes only what a reader uses).
  const auto read = [&](int actor) {
    race::Naps naps(static_cast<unsigned>(actor) + 5, 4, 300);
    std::vector<float> seen(count);
    int64_t have = -1, newest = -1;
    const mpi::Waiting waiting("the last version of the weights");
    for (bool stop = false; !stop || have < newest; naps.maybe()) {
      const auto control = board.control();
      EXPECT_GE(control.version, newest);
      newest = control.version;
      if (newest >= 0) {
        EXPECT_EQ(std::pair(control.phase, control.step), std::pair(2 * newest, 3 * newest));
      }
      stop = control.stop;
      const auto version = board.refresh(have, seen);
      if (!version) continue;
      EXPECT_GT(*version, have);
      have = *version;
      EXPECT_EQ(seen, weights_of(have, count));
      ++got;
    }
  };
  race::play(comm, read, publish);
  comm.sum(std::span<int64_t>(&got, 1));
  EXPECT_GT(got, race::actors(comm));
}

TEST(WeightBoard, RefreshNeverMixesVersions) {
  race_for(Precision::float32, 1000);
  race_for(Precision::bfloat16, 500);
}

}  // namespace
}  // namespace tightrope
