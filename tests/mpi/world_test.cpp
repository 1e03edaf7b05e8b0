// World: who does what.
#include "tightrope/comm/world.hpp"

#include <gtest/gtest.h>

#include "tightrope/base/check.hpp"

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
