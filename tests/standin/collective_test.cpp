// What the trainers do together, by MPI and, where it was compiled, by NCCL over the stand-in.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "collective_fixture.hpp"

namespace tightrope {
namespace {

class Transports : public testing::TestWithParam<const char*> {
 protected:
  std::vector<float> summed(const CollectiveDeck& d, std::vector<float> values, bool sharded = false) const {
    const GradientPlan p = plan(comm, values.size());
    const auto collective = make_collective(d, p, comm);
    GradientSum(p, comm.rank(), *collective, values, sharded).finish();
    return values;
  }

  const mpi::Comm comm = mpi::Comm::world();
};

TEST_P(Transports, SumsAreRightAndBitIdenticalOnAllRanks) {
  // Every algorithm that a library may choose by size: one operation each.
  for (const size_t count : {size_t{1}, size_t{7}, size_t{1000}, size_t{20000}, size_t{300007}, size_t{2000003}}) {
    CollectiveDeck whole = deck(GetParam());
    const GradientPlan p(static_cast<int64_t>(count), 1 << 30, comm.size());
    const auto collective = make_collective(whole, p, comm);
    std::vector<float> values = numbers(comm.rank(), count), again = values;
    collective->sum(values);
    collective->finish();
    collective->sum(again);
    collective->finish();
    EXPECT_TRUE(same_bits(values, again)) << count;
    EXPECT_EQ(wrong(comm, values, 1e-6), 0U) << count;
    EXPECT_EQ(different(comm, values), 0U) << count;
  }
}

TEST_P(Transports, ManyBucketsAtOnce) {
  const size_t count = 12 * kBucket / 4 + 77;
  const GradientPlan p = plan(comm, count);
  const auto collective = make_collective(deck(GetParam()), p, comm);
  std::vector<float> values(count);
  GradientSum sum(p, comm.rank(), *collective, values, false);
  for (unsigned turn = 0; turn < 20; ++turn) {
    std::ranges::copy(numbers(comm.rank(), count, turn), values.begin());
    sum.finish();
    ASSERT_EQ(wrong(comm, values, 1e-6, turn), 0U) << "turn " << turn;
  }
  EXPECT_EQ(different(comm, values), 0U);
}

TEST_P(Transports, OverlappedIsNotOverlapped) {
  const size_t count = 9 * kBucket / 4 + 1234;
  const std::vector<float> start = numbers(comm.rank(), count);
  const auto blocking = summed(deck(GetParam()), start);
  const GradientPlan p = plan(comm, count);
  const auto collective = make_collective(deck(GetParam()), p, comm);
  std::vector<float> values(count);
  GradientSum sum(p, comm.rank(), *collective, values, false);
  std::minstd_rand random(static_cast<unsigned>(comm.rank()));
  for (int turn = 0; turn < 10; ++turn) {
    std::ranges::copy(start, values.begin());
    sum.begin();
    auto end = static_cast<int64_t>(count);
    const int64_t unused = turn % 2 == 0 ? 0 : static_cast<int64_t>(count / 3);  // parameters without a gradient
    while (end > unused) {
      const int64_t size = std::min<int64_t>(1 + static_cast<int64_t>(random() % 30000), end - unused);
      end -= size;
      sum.complete({end, size});
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    }
    sum.finish();
    EXPECT_TRUE(same_bits(values, blocking));
  }
}

TEST_P(Transports, ASlicedSumAndAGatherAreTheSum) {
  for (const size_t count : {size_t{5}, size_t{1000}, 3 * size_t{kBucket} / 4 + 50}) {
    const auto whole = summed(deck(GetParam()), numbers(comm.rank(), count));
    const GradientPlan p = plan(comm, count);
    const auto collective = make_collective(deck(GetParam()), p, comm);
    std::vector<float> values = numbers(comm.rank(), count);
    GradientSum sum(p, comm.rank(), *collective, values, /*sharded=*/true);
    sum.finish();
    std::vector<float> gathered(count, -1);
    for (const Extent& slice : p.shard(comm.rank()))
      std::copy_n(values.begin() + slice.offset, slice.size, gathered.begin() + slice.offset);
    sum.gather(gathered);
    EXPECT_EQ(wrong(comm, gathered, 1e-6), 0U) << count;
    EXPECT_EQ(different(comm, gathered), 0U) << count;
    if (comm.size() > 2) continue;  // a + b has one order
    EXPECT_TRUE(same_bits(gathered, whole)) << count;
  }
}

TEST_P(Transports, TheFirstTrainersValuesForAll) {
  const size_t count = 7 * kBucket / 4 + 5;
  const GradientPlan p = plan(comm, count);
  const auto collective = make_collective(deck(GetParam()), p, comm);
  std::vector<float> values = numbers(comm.rank(), count);
  GradientSum(p, comm.rank(), *collective, values, false).broadcast(values);
  EXPECT_TRUE(same_bits(values, numbers(0, count)));
}

TEST_P(Transports, SumsInBfloat16) {
  CollectiveDeck d = deck(GetParam());
  d.precision = "bfloat16";
  const size_t count = 2 * kBucket / 4 + 333;
  const auto values = summed(d, numbers(comm.rank(), count));
  if (comm.size() == 1) return;  // what one rank has is not rounded by MPI
  EXPECT_EQ(wrong(comm, values, comm.size() * 0x1p-8), 0U);
  EXPECT_GT(wrong(comm, values, 1e-5), count / 2);
  EXPECT_EQ(different(comm, values), 0U);
}

// It is stopped as by a debugger or a machine without memory, and cannot answer.
TEST_P(Transports, ATrainerThatDoesNotComeIsNamedWithItsBucket) {
  if (comm.size() == 1) return;
  const int last = comm.size() - 1;
  const auto processes = comm.gather_all(::getpid());
  CollectiveDeck d = deck(GetParam());
  d.timeout = 1;
  const size_t count = 3 * kBucket / 4;
  const GradientPlan p = plan(comm, count);
  std::string said;
  try {  // it ends as in the program: the exception unwinds it
    const auto collective = make_collective(d, p, comm);
    std::vector<float> values = numbers(comm.rank(), count);
    for (int bucket = 0; bucket < 2; ++bucket) collective->sum(std::span(values).first(kBucket / 4));
    collective->finish();
    comm.barrier();  // it stops between sums: within one the others would need it
    if (comm.rank() == last) {
      ::raise(SIGSTOP);
      throw Failure("stopped", "", "");
    }
    collective->sum(std::span(values).first(kBucket / 4));
    collective->finish();
  } catch (const Failure& failure) {
    said = failure.what();
  }
  // The first one to give up names it; by NCCL that ends the others' sums too, and they may say so instead.
  const std::string wanted = "bucket 0 of this update was not exchanged within 1 s (16384 values; rank " +
                             std::to_string(last) + " has not come to it) look for an earlier message of rank " +
                             std::to_string(last);
  int64_t named = said.starts_with(wanted);
  if (comm.rank() != last) {
    EXPECT_TRUE(named == 1 || (std::string(GetParam()) == "nccl" && said.starts_with("a sum by NCCL failed"))) << said;
  }
  if (comm.rank() == 0) ::kill(static_cast<pid_t>(processes.back()), SIGCONT);
  comm.max(std::span(&named, 1));
  EXPECT_EQ(named, 1);
  comm.barrier();
}

INSTANTIATE_TEST_SUITE_P(Mpi, Transports, testing::Values("mpi"));

#ifdef TIGHTROPE_TEST_NCCL
INSTANTIATE_TEST_SUITE_P(Nccl, Transports, testing::Values("nccl"));
#endif

}  // namespace
}  // namespace tightrope
