// What the trainers do together, by MPI and, where it was compiled, by NCCL over the stand-in.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "tightrope/base/check.hpp"
#include "tightrope/comm/gradient_sum.hpp"

namespace tightrope {
namespace {

constexpr int64_t kBucket = 65536;  // bytes

CollectiveDeck deck(const std::string& kind) {
  CollectiveDeck d;
  d.kind = kind;
  d.bucket = kBucket;
  d.timeout = 30;
  return d;
}

GradientPlan plan(const mpi::Comm& comm, size_t values) { return {static_cast<int64_t>(values), kBucket, comm.size()}; }

std::vector<float> numbers(int rank, size_t count, unsigned seed = 0) {
  std::minstd_rand generator(static_cast<unsigned>(rank) * 7 + static_cast<unsigned>(count) + 1000 * seed);
  std::vector<float> values(count);
  for (float& v : values)
    v = std::ldexp(static_cast<float>(generator() % 20001) - 10000.0f, static_cast<int>(generator() % 20) - 10);
  return values;
}

// Values that are off by more than `tolerance` times the sum of the ranks' sizes.
size_t wrong(const mpi::Comm& comm, const std::vector<float>& sum, double tolerance, unsigned seed = 0) {
  std::vector<double> exact(sum.size()), size(sum.size());
  for (int r = 0; r < comm.size(); ++r) {
    const auto of_rank = numbers(r, sum.size(), seed);
    for (size_t i = 0; i < sum.size(); ++i) {
      exact[i] += of_rank[i];
      size[i] += std::abs(of_rank[i]);
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < sum.size(); ++i) count += std::abs(sum[i] - exact[i]) > tolerance * size[i];
  return count;
}

// Values whose bits are not the same on all ranks.
size_t different(const mpi::Comm& comm, const std::vector<float>& values) {
  std::vector<int64_t> bits(2 * values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    bits[2 * i] = std::bit_cast<int32_t>(values[i]);
    bits[2 * i + 1] = -bits[2 * i];
  }
  comm.max(bits);
  size_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) count += bits[2 * i] != -bits[2 * i + 1];
  return count;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

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
  d.timeout = 0.5;
  const size_t count = 3 * kBucket / 4;
  const GradientPlan p = plan(comm, count);
  std::string said;
  try {  // it ends as in the program: the exception unwinds it
    const auto collective = make_collective(d, p, comm);
    std::vector<float> values = numbers(comm.rank(), count);
    collective->sum(std::span(values).first(kBucket / 4));
    collective->finish();
    collective->sum(std::span(values).first(kBucket / 4));
    if (comm.rank() == last) {
      collective->finish();
      ::raise(SIGSTOP);
      throw Failure("stopped", "", "");
    }
    collective->sum(std::span(values).last(kBucket / 4));
    collective->finish();
  } catch (const Failure& failure) {
    said = failure.what();
  }
  // The first one to give up names it; by NCCL that ends the others' sums too, and they may say so instead.
  const std::string wanted = "bucket 1 of this update was not exchanged within 0.5 s (16384 values; rank " +
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

template <class Function>
void standin(const char* name, int value) {
  auto* const found = reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
  ASSERT_NE(found, nullptr) << "the stand-in is not preloaded";
  found(value);
}

TEST(Nccl, GivesTheSumsOfMpi) {
  const mpi::Comm comm = mpi::Comm::world();
  const size_t count = 5 * kBucket / 4 + 3;
  const GradientPlan p = plan(comm, count);
  std::vector<float> sums[2];
  for (int kind = 0; kind < 2; ++kind) {
    const auto collective = make_collective(deck(kind == 0 ? "mpi" : "nccl"), p, comm);
    sums[kind] = numbers(comm.rank(), count);
    GradientSum(p, comm.rank(), *collective, sums[kind], false).finish();
    EXPECT_EQ(collective->name().find(kind == 0 ? "mpi, float32" : "nccl 2."), 0U) << collective->name();
  }
  double apart = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    apart += std::pow(double{sums[0][i]} - sums[1][i], 2);
    size += std::pow(sums[0][i], 2);
  }
  EXPECT_LE(std::sqrt(apart), 1e-6 * std::sqrt(size));
}

TEST(Nccl, AnErrorOfOneRankEndsTheSumOfAll) {
  const mpi::Comm comm = mpi::Comm::world();
  const size_t count = 8 * kBucket / 4;
  const GradientPlan p = plan(comm, count);
  const auto collective = make_collective(deck("nccl"), p, comm);
  std::vector<float> values = numbers(comm.rank(), count);
  GradientSum sum(p, comm.rank(), *collective, values, false);
  if (comm.rank() == comm.size() - 1) standin<void(int)>("standin_fail_after", 3);
  std::string said, later;
  try {
    sum.finish();
  } catch (const Failure& failure) {
    said = failure.what();
  }
  EXPECT_EQ(said.find("a sum by NCCL failed ("), 0U) << said;
  try {
    collective->sum(std::span(values).first(100));
    collective->finish();
  } catch (const Failure& failure) {
    later = failure.what();
  }
  EXPECT_EQ(later.find("NCCL is used after it was aborted"), 0U) << later;
  comm.barrier();
}

TEST(Nccl, ASumThatHangsEndsInTime) {
  const mpi::Comm comm = mpi::Comm::world();
  CollectiveDeck d = deck("nccl");
  d.timeout = 0.3;
  const GradientPlan p = plan(comm, 1000);
  std::vector<float> values = numbers(comm.rank(), 1000);
  if (comm.rank() == 0) standin<void(int)>("standin_hold", 0);
  const auto hang = [&] {
    const auto collective = make_collective(d, p, comm);
    collective->sum(values);
    collective->finish();
  };
  std::string said;
  try {
    hang();
  } catch (const Failure& failure) {
    said = failure.what();
  }
  int64_t all_came = said.find("values; all trainers have come to it) look at the network") != std::string::npos;
  EXPECT_TRUE(all_came == 1 || said.starts_with("a sum by NCCL failed")) << said;
  comm.max(std::span(&all_came, 1));
  EXPECT_EQ(all_came, 1);
  comm.barrier();
}

TEST(Nccl, SaysWhyThereIsNoGpuForATrainer) {
  const mpi::Comm comm = mpi::Comm::world();
  const auto problem = [&](const char* gpus) {
    ::setenv("STANDIN_GPUS", gpus, 1);
    return nccl_problem(comm, /*trainer=*/true);
  };
  const std::string before = std::getenv("STANDIN_GPUS") ? std::getenv("STANDIN_GPUS") : "8";
  EXPECT_EQ(problem("8"), "");
  EXPECT_EQ(problem("own"), "");
  EXPECT_EQ(problem("0").find("collective.kind = nccl needs a GPU per trainer ("), 0U) << problem("0");
  const bool alone = comm.size() == 1;
  EXPECT_EQ(problem("shared").find("two trainers are on one GPU ("), alone ? std::string::npos : 0U);
  EXPECT_EQ(problem("2").find("there are more trainers than GPUs on a node ("),
            comm.size() > 2 ? 0U : std::string::npos);
  problem(before.c_str());
}
#else
TEST(Nccl, IsNotInThisBuild) {
  EXPECT_NE(nccl_problem(mpi::Comm::world(), true).find("was built without CUDA and NCCL"), std::string::npos);
}
#endif

}  // namespace
}  // namespace tightrope
