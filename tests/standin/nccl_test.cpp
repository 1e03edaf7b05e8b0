// What only NCCL does, over the stand-in; and that a build without it says so.
#include <dlfcn.h>

#include <cstdlib>

#include "collective_fixture.hpp"
#include "tightrope/comm/gpu.hpp"

#ifdef TIGHTROPE_TEST_NCCL
#include "../../src/comm/cuda_call.hpp"
#endif

namespace tightrope {
namespace {

#ifdef TIGHTROPE_TEST_NCCL
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

// Values on the GPU, written and read by way of the default stream, as a policy's work is.
class OnGpu {
 public:
  explicit OnGpu(size_t count) : host_(count * sizeof(float)), device_(count * sizeof(float)), count_(count) {}
  std::span<float> values() const { return {reinterpret_cast<float*>(device_.data()), count_}; }
  void write(const std::vector<float>& from) {
    read();  // the pinned memory is free then
    std::memcpy(host_.data(), from.data(), count_ * sizeof(float));
    copy(device_.data(), host_.data());
  }
  std::vector<float> read() {
    copy(host_.data(), device_.data());
    check(cudaEventRecord(done_, nullptr), "cudaEventRecord");
    while (cudaEventQuery(done_) == cudaErrorNotReady) {
    }
    const auto* const first = reinterpret_cast<const float*>(host_.data());
    return {first, first + count_};
  }

 private:
  void copy(void* to, const void* from) const {
    check(cudaMemcpyAsync(to, from, count_ * sizeof(float), cudaMemcpyDefault, nullptr), "cudaMemcpyAsync");
  }
  PinnedBuffer host_;
  DeviceBuffer device_;
  CudaEvent done_;
  size_t count_;
};

TEST(Nccl, SumsWhatLiesOnTheGpu) {
  const mpi::Comm comm = mpi::Comm::world();
  const size_t count = 6 * kBucket / 4 + 77;
  const GradientPlan p = plan(comm, count);
  const auto collective = make_collective(deck("nccl"), p, comm, /*on_gpu=*/true);
  OnGpu memory(count);
  GradientSum sum(p, comm.rank(), *collective, memory.values(), /*sharded=*/false);
  GradientSum shards(p, comm.rank(), *collective, memory.values(), /*sharded=*/true);
  for (unsigned turn = 0; turn < 8; ++turn) {
    memory.write(numbers(comm.rank(), count, turn));
    if (turn % 2 == 0) {
      sum.begin();  // the first buckets leave before the last values are known to be done
      const auto half = static_cast<int64_t>(count / 2);
      sum.complete({half, static_cast<int64_t>(count) - half});
      sum.finish();
    } else {
      shards.finish();
      shards.gather(memory.values());
    }
    const auto found = memory.read();
    ASSERT_EQ(wrong(comm, found, 1e-6, turn), 0U) << "turn " << turn;
    ASSERT_EQ(different(comm, found), 0U) << "turn " << turn;
  }
  memory.write(numbers(comm.rank(), count));
  sum.broadcast(memory.values());
  EXPECT_TRUE(same_bits(memory.read(), numbers(0, count)));
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
  d.timeout = 1;
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
    return gpu_problem(comm, /*trainer=*/true, "collective.kind = nccl");
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
  EXPECT_NE(gpu_problem(mpi::Comm::world(), true, "world.device = cuda").find("was built without CUDA and NCCL"),
            std::string::npos);
}
#endif

}  // namespace
}  // namespace tightrope
