// World and Collective: who does what, and what the trainers do together.
#include "tightrope/comm/world.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "tightrope/base/check.hpp"
#include "tightrope/comm/collective.hpp"

namespace tightrope {
namespace {

WorldDeck deck(int64_t trainers, int64_t searchers) {
  WorldDeck d;
  d.trainers = trainers;
  d.searchers = searchers;
  return d;
}

TEST(Roles, FollowTheDeckAndTheNumberOfRanks) {
  struct Case {
    int64_t trainers, searchers;
    int ranks, expected_searchers;
    bool both;
  };
  for (const Case& c :
       {Case{1, 0, 1, 1, true}, Case{1, 1, 1, 1, true}, Case{1, 0, 4, 3, false}, Case{1, 3, 4, 3, false},
        Case{2, 2, 4, 2, false}, Case{4, 0, 4, 4, true}, Case{4, 4, 4, 4, true}}) {
    const Roles roles = Roles::of(deck(c.trainers, c.searchers), c.ranks);
    EXPECT_EQ(roles.trainers, c.trainers);
    EXPECT_EQ(roles.searchers, c.expected_searchers);
    EXPECT_EQ(roles.both, c.both);
  }
}

TEST(Roles, RefuseDecksThatDoNotFit) {
  const auto message = [](int64_t trainers, int64_t searchers, int ranks) -> std::string {
    try {
      Roles::of(deck(trainers, searchers), ranks);
    } catch (const Failure& failure) {
      return failure.what();
    }
    return "";
  };
  EXPECT_EQ(message(2, 3, 4).find("fewer ranks than roles (2 trainers and 3 searchers on 4 ranks) start 5 ranks"), 0u);
  EXPECT_EQ(message(5, 0, 4).find("fewer ranks than roles ("), 0u);
  EXPECT_EQ(message(1, 1, 4).find("more ranks than roles ("), 0u);
  EXPECT_EQ(message(2, 2, 3).find("fewer ranks than roles ("), 0u);
}

TEST(World, PutsEveryRankInItsPlace) {
  mpi::Comm comm = mpi::Comm::world();
  const int n = comm.size(), me = comm.rank();
  const World world(std::move(comm), deck(n == 4 ? 2 : 1, 0));
  const int trainers = world.roles().trainers;
  EXPECT_EQ(world.is_trainer(), me < trainers);
  EXPECT_EQ(world.trainers().size(), me < trainers ? trainers : 0);
  EXPECT_EQ(world.searcher(), n == 1 ? 0 : me < trainers ? -1 : me - trainers);
  EXPECT_GE(world.threads(), 1);
  EXPECT_GE(world.ranks_on_node(), 1);
  EXPECT_EQ(world.owner(5, 100, 10), 5 % trainers);
  EXPECT_EQ(world.owner(0, -1, 1), trainers == 1 ? 0 : 1);  // ids are hashes: every bit pattern has an owner
  EXPECT_FALSE(world.summary().empty());
  EXPECT_EQ(world.has_progress_thread(), !world.passivity().passive && mpi::thread_multiple());
}

TEST(World, TakesThreadsFromTheDeckAndDividesTheNodeElse) {
  WorldDeck d = deck(1, 0);
  d.threads = 3;
  d.progress = "off";
  const World world(mpi::Comm::world(), d);
  EXPECT_EQ(world.threads(), 3);
  EXPECT_FALSE(world.has_progress_thread());
}

std::vector<float> numbers(int rank, size_t count) {
  std::minstd_rand generator(static_cast<unsigned>(rank) * 7 + static_cast<unsigned>(count));
  std::vector<float> values(count);
  for (float& v : values)
    v = std::ldexp(static_cast<float>(generator() % 20001) - 10000.0f, static_cast<int>(generator() % 20) - 10);
  return values;
}

// Every algorithm that the library may choose by size: the sum is right, and it has the same bits everywhere.
TEST(Collective, SumsAreRightAndBitIdenticalOnAllRanks) {
  const mpi::Comm comm = mpi::Comm::world();
  const auto collective = make_mpi_collective(comm);
  for (const size_t count : {size_t{1}, size_t{7}, size_t{1000}, size_t{20000}, size_t{300007}, size_t{2000003}}) {
    std::vector<float> values = numbers(comm.rank(), count), again = values;
    std::vector<double> exact(count), size(count);
    for (int r = 0; r < comm.size(); ++r) {
      const auto of_rank = numbers(r, count);
      for (size_t i = 0; i < count; ++i) {
        exact[i] += of_rank[i];
        size[i] += std::abs(of_rank[i]);
      }
    }
    collective->start(values);
    collective->finish();
    collective->start(again);
    collective->finish();
    EXPECT_EQ(std::memcmp(values.data(), again.data(), count * sizeof(float)), 0) << count;
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) wrong += std::abs(values[i] - exact[i]) > 1e-6 * size[i];
    EXPECT_EQ(wrong, 0u) << count;
    std::vector<int64_t> bits(2 * count);
    for (size_t i = 0; i < count; ++i) {
      bits[2 * i] = std::bit_cast<int32_t>(values[i]);
      bits[2 * i + 1] = -bits[2 * i];
    }
    comm.max(bits);
    size_t different = 0;
    for (size_t i = 0; i < count; ++i) different += bits[2 * i] != -bits[2 * i + 1];
    EXPECT_EQ(different, 0u) << count;
  }
}

TEST(Collective, BroadcastsFromAnyRank) {
  const mpi::Comm comm = mpi::Comm::world();
  const auto collective = make_mpi_collective(comm);
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<float> values = numbers(comm.rank(), 1001);
    collective->broadcast(values, root);
    EXPECT_EQ(values, numbers(root, 1001));
  }
}

TEST(NodeMemory, EveryRankReadsWhatTheNodesFirstRankWrote) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr int64_t kBytes = 3'000'001;
  int fills = 0;
  const mpi::NodeMemory memory(comm, kBytes, [&](std::span<std::byte> bytes) {
    ++fills;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 % 251);
  });
  ASSERT_EQ(memory.bytes().size(), static_cast<size_t>(kBytes));
  for (size_t i = 0; i < memory.bytes().size(); ++i)
    ASSERT_EQ(memory.bytes()[i], static_cast<std::byte>(i * 31 % 251)) << i;
  EXPECT_EQ(fills, comm.split_by_node().rank() == 0 ? 1 : 0);
}

}  // namespace
}  // namespace tightrope
