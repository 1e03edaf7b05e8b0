// base/mpi: communicators, windows, the sentence for a window that does not fit, the self-probe.
#include "tightrope/base/mpi.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

TEST(Comm, CollectivesAgreeWithArithmetic) {
  const mpi::Comm comm = mpi::Comm::world();
  const int n = comm.size(), me = comm.rank();
  double reals[2] = {me + 0.5, 1};
  comm.sum(reals);
  EXPECT_EQ(reals[0], n * (n - 1) / 2.0 + 0.5 * n);
  int64_t counts[1] = {me};
  comm.sum(counts);
  EXPECT_EQ(counts[0], n * (n - 1) / 2);
  int64_t most[2] = {me, -me};
  comm.max(most);
  EXPECT_EQ(most[0], n - 1);
  EXPECT_EQ(most[1], 0);
  const auto all = comm.gather_all(10 * me);
  ASSERT_EQ(all.size(), static_cast<size_t>(n));
  for (int r = 0; r < n; ++r) EXPECT_EQ(all[static_cast<size_t>(r)], 10 * r);
  EXPECT_EQ(comm.broadcast(me == n - 1 ? "from the last" : "", n - 1), "from the last");
  const auto texts = comm.gather(std::string(static_cast<size_t>(me), 'x'), 0);
  ASSERT_EQ(texts.size(), me == 0 ? static_cast<size_t>(n) : 0);
  for (size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r, 'x'));
}

TEST(Comm, TheLowestRankWithATextIsHeardByAll) {
  const mpi::Comm comm = mpi::Comm::world();
  EXPECT_EQ(comm.first(""), "");
  for (int from = 0; from < comm.size(); ++from)
    EXPECT_EQ(comm.first(comm.rank() < from ? "" : "rank " + std::to_string(comm.rank())),
              "rank " + std::to_string(from));
}

TEST(Comm, SplitsIntoPartsAndNodes) {
  const mpi::Comm comm = mpi::Comm::world();
  const mpi::Comm first = comm.split(comm.rank() == 0 ? 0 : -1, 0);
  EXPECT_EQ(first.size(), comm.rank() == 0 ? 1 : 0);
  const mpi::Comm node = comm.split_by_node();
  EXPECT_GE(node.size(), 1);
  EXPECT_LE(node.size(), comm.size());
  comm.poll();
  comm.duplicate().barrier();
}

TEST(Window, PutsAndGetsReachEveryPart) {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, 8 * comm.size());
  for (const std::byte byte : window.local()) ASSERT_EQ(byte, std::byte{0});
  comm.barrier();
  for (int target = 0; target < comm.size(); ++target) {
    const uint64_t word = static_cast<uint64_t>(100 * comm.rank() + target);
    window.put(target, 8 * comm.rank(), std::as_bytes(std::span(&word, 1)));
    window.flush(target);
  }
  comm.barrier();
  window.sync();
  for (int origin = 0; origin < comm.size(); ++origin) {
    uint64_t word = 0;
    std::memcpy(&word, window.local().data() + 8 * origin, 8);
    EXPECT_EQ(word, static_cast<uint64_t>(100 * origin + comm.rank()));
    const int target = (comm.rank() + 1) % comm.size();
    window.get(target, 8 * origin, std::as_writable_bytes(std::span(&word, 1)));
    window.flush(target);
    EXPECT_EQ(word, static_cast<uint64_t>(100 * origin + target));
  }
  comm.barrier();
}

TEST(Window, TooBigIsOneSentenceWithBothNumbersOnAllRanks) {
  const mpi::Comm comm = mpi::Comm::world();
  const int64_t huge = int64_t{1} << 46;  // only the last rank wants it
  try {
    const mpi::Window window(comm, comm.rank() == comm.size() - 1 ? huge : 0);
    ADD_FAILURE() << "a window of 64 TiB was made";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("want 70368744177664 bytes, available are "), std::string::npos)
        << failure.what();
  }
  mpi::check_shared_memory(comm, 1 << 20);
  comm.barrier();
}

TEST(Session, SaysWhichSettingsAreInEffect) {
  std::string all;
  for (const std::string& line : mpi::effective_settings()) all += line + "\n";
  if (mpi::library_version().starts_with("Open MPI v4.")) {
    EXPECT_NE(all.find("OMPI_MCA_osc="), std::string::npos) << all;
    EXPECT_NE(all.find("(set by "), std::string::npos) << all;
  }
  EXPECT_NE(all.find("thread level"), std::string::npos) << all;
}

TEST(Passivity, IsTheSameOnAllRanksAndTrueOnSharedMemory) {
  const mpi::Comm comm = mpi::Comm::world();
  const mpi::Passivity passivity = mpi::probe_passivity(comm);
  int64_t counts[1] = {passivity.passive ? 1 : 0};
  comm.sum(counts);
  EXPECT_TRUE(counts[0] == 0 || counts[0] == comm.size());
  const bool shared = comm.split_by_node().size() == comm.size();
  if (shared) {
    EXPECT_TRUE(passivity.passive) << passivity.busy_us << " us while the target is busy";
  }
}

TEST(Progress, StartsAndEnds) {
  const mpi::Comm comm = mpi::Comm::world();
  if (mpi::thread_multiple()) {
    const mpi::Progress progress(comm);
    comm.barrier();
  } else {
    EXPECT_THROW(const mpi::Progress progress(comm), Failure);
  }
}

TEST(Waiting, NamesTheInnermostWait) {
  EXPECT_STREQ(mpi::waiting_in(), "");
  {
    const mpi::Waiting outer("outer");
    {
      const mpi::Waiting inner("inner");
      EXPECT_STREQ(mpi::waiting_in(), "inner");
    }
    EXPECT_STREQ(mpi::waiting_in(), "outer");
  }
  EXPECT_STREQ(mpi::waiting_in(), "");
}

}  // namespace
}  // namespace tightrope
