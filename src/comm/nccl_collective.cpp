// Compiled only with NCCL.  A bucket takes one of a few slots, each a device and (for values of the host) a pinned
// buffer, and goes through three streams, so that one bucket is copied in while another is summed and a third is copied
// out:
//
//   host packs | in: copy, record `arrived` | work: wait for it, sum, record `summed` | out: wait for it, copy, record
//   `left` | host waits for it and unpacks, when it needs the slot again or in finish()
//
// Values on the GPU are neither packed nor unpacked, and `in` first waits for what the default stream was given.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_call.hpp"
#include "roll_call.hpp"
#include "tightrope/base/bfloat16.hpp"
#include "tightrope/comm/collective.hpp"
#include "tightrope/comm/gpu.hpp"

namespace tightrope {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFirst = 0;  // the trainer that broadcasts
constexpr cudaStream_t kDefaultStream = nullptr;

// Sets the device before anything else is made on it.
class Communicator {
 public:
  explicit Communicator(const mpi::Comm& trainers) : rank(trainers.rank()), size(trainers.size()) {
    check(cudaSetDevice(gpu_of_trainer(trainers.split_by_node())), "cudaSetDevice");
    ncclUniqueId id{};
    if (rank == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    trainers.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    check(ncclCommInitRank(&comm_, size, id, rank), "ncclCommInitRank");
  }
  ~Communicator() {
    if (comm_) static_cast<void>(ncclCommDestroy(comm_));
  }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  ncclComm_t get() const {
    VALIDATE(comm_, "NCCL is used after it was aborted", "an earlier error ended it", "see the first message");
    return comm_;
  }
  // Throws after ending all operations where NCCL reports that one has failed, here or at another trainer.
  void poll() {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(get(), &state), "ncclCommGetAsyncError");
    if (state == ncclSuccess || state == ncclInProgress) return;
    abort();
    check(state, "a sum by NCCL");
  }
  void abort() {
    if (comm_) static_cast<void>(ncclCommAbort(std::exchange(comm_, nullptr)));
  }

  const int rank, size;

 private:
  ncclComm_t comm_ = nullptr;
};

struct Slot {
  Slot(size_t bytes, bool on_gpu) : host(on_gpu ? 0 : bytes), device(bytes) {}
  PinnedBuffer host;
  DeviceBuffer device;
  CudaEvent arrived, summed, left;
  std::span<float> result;  // where it goes; its length is what comes back
  size_t result_at = 0;     // of its first value in the slot
  bool narrow = false;
  int64_t number = -1;  // of the operation in it; -1 = free
};

class NcclCollective final : public Collective {
 public:
  NcclCollective(const CollectiveDeck& deck, const GradientPlan& plan, const mpi::Comm& trainers, bool on_gpu)
      : deck_(deck), on_gpu_(on_gpu), comm_(trainers), roll_call_(trainers, deck.timeout) {
    EXPECT(!on_gpu || deck.precision == "float32");
    const auto bucket = static_cast<size_t>(std::min(plan.bucket_values, plan.values));
    const size_t slots = std::min(static_cast<size_t>(nccl_buckets), plan.buckets.size());
    for (size_t i = 0; i < slots; ++i)
      slots_.push_back(std::make_unique<Slot>(slice(bucket) * static_cast<size_t>(comm_.size) * sizeof(float), on_gpu));
  }

  // While an exception unwinds nothing may wait for the other trainers, and freeing memory waits for the streams.
  ~NcclCollective() override {
    if (std::uncaught_exceptions() > 0) comm_.abort();
  }

  void sum(std::span<float> values) override {
    const bool narrow = deck_.precision == "bfloat16";
    exchange(values, narrow, all(values), all(values), [&](std::byte* at, size_t, ncclDataType_t type) {
      return ncclAllReduce(at, at, values.size(), type, ncclSum, comm_.get(), work_);
    });
  }

  // What lies between values.size() and size * slice(values.size()) is summed too, and never read.
  void sum_slices(std::span<float> values) override {
    const bool narrow = deck_.precision == "bfloat16";
    exchange(values, narrow, all(values), mine(values), [&](std::byte* at, size_t own, ncclDataType_t type) {
      return ncclReduceScatter(at, at + own, slice(values.size()), type, ncclSum, comm_.get(), work_);
    });
  }

  void gather_slices(std::span<float> values) override {
    exchange(values, false, mine(values), all(values), [&](std::byte* at, size_t own, ncclDataType_t type) {
      return ncclAllGather(at + own, at, slice(values.size()), type, comm_.get(), work_);
    });
  }

  void broadcast(std::span<float> values) override {
    const Part out = comm_.rank == kFirst ? all(values) : Part{0, 0};
    exchange(values, false, out, all(values), [&](std::byte* at, size_t, ncclDataType_t type) {
      return ncclBroadcast(at, at, values.size(), type, kFirst, comm_.get(), work_);
    });
  }

  void finish() override {
    for (size_t i = 0; i < slots_.size(); ++i) empty(next_slot());
    roll_call_.end_update();
  }

  std::string name() const override {
    int version = 0;
    check(ncclGetVersion(&version), "ncclGetVersion");
    return "nccl " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100) + ", " + deck_.precision;
  }

 private:
  struct Part {
    size_t first, size;
  };
  size_t slice(size_t values) const {
    return static_cast<size_t>(slice_size(static_cast<int64_t>(values), comm_.size));
  }
  static Part all(std::span<float> values) { return {0, values.size()}; }
  Part mine(std::span<float> values) const {
    const size_t first = std::min(slice(values.size()) * static_cast<size_t>(comm_.rank), values.size());
    return {first, std::min(slice(values.size()), values.size() - first)};
  }

  // run(slot's device memory, bytes to this trainer's slice in it, type) starts the operation on work_.
  template <class Run>
  void exchange(std::span<float> values, bool narrow, const Part& out, const Part& back, Run run) {
    Slot& slot = next_slot();
    empty(slot);
    const size_t bytes = narrow ? sizeof(uint16_t) : sizeof(float);
    slot.narrow = narrow;
    slot.number = roll_call_.begin();
    slot.result = values.subspan(back.first, back.size);
    slot.result_at = back.first * bytes;
    std::byte* const device = slot.device.data();
    copy_in(slot, values.subspan(out.first, out.size), out.first * bytes, out.size * bytes);
    follow(slot.arrived, in_, work_);
    const size_t own = slice(values.size()) * static_cast<size_t>(comm_.rank) * bytes;
    check(run(device, own, narrow ? ncclBfloat16 : ncclFloat), "starting a sum by NCCL");
    follow(slot.summed, work_, out_);
    void* const to = on_gpu_ ? static_cast<void*>(slot.result.data()) : slot.host.data() + slot.result_at;
    check(cudaMemcpyAsync(to, device + slot.result_at, back.size * bytes, cudaMemcpyDefault, out_), "copy out");
    check(cudaEventRecord(slot.left, out_), "cudaEventRecord");
  }

  // The values of a slot from byte `at` of its device memory on.
  void copy_in(Slot& slot, std::span<const float> values, size_t at, size_t bytes) {
    const void* from = values.data();
    if (on_gpu_) {
      follow(slot.arrived, kDefaultStream, in_);
    } else {
      pack(values, slot.narrow, slot.host.data() + at);
      from = slot.host.data() + at;
    }
    check(cudaMemcpyAsync(slot.device.data() + at, from, bytes, cudaMemcpyDefault, in_), "copy in");
  }

  // What `second` does from now on comes after what `first` was given so far.
  static void follow(const CudaEvent& event, cudaStream_t first, cudaStream_t second) {
    check(cudaEventRecord(event, first), "cudaEventRecord");
    check(cudaStreamWaitEvent(second, event, 0), "cudaStreamWaitEvent");
  }

  Slot& next_slot() { return *slots_[next_++ % slots_.size()]; }

  void empty(Slot& slot) {
    if (slot.number < 0) return;
    wait(slot);
    slot.number = -1;
    if (on_gpu_) return;
    const std::byte* const from = slot.host.data() + slot.result_at;
    if (slot.narrow) {
      from_bfloat16({reinterpret_cast<const uint16_t*>(from), slot.result.size()}, slot.result);
    } else if (!slot.result.empty()) {
      std::memcpy(slot.result.data(), from, slot.result.size_bytes());
    }
  }

  static void pack(std::span<const float> values, bool narrow, std::byte* to) {
    if (narrow) {
      to_bfloat16(values, {reinterpret_cast<uint16_t*>(to), values.size()});
    } else if (!values.empty()) {
      std::memcpy(to, values.data(), values.size_bytes());
    }
  }

  void wait(const Slot& slot) {
    roll_call_.wait_for(slot.number);
    for (const auto begun = Clock::now();;) {
      const cudaError_t state = cudaEventQuery(slot.left);
      if (state == cudaSuccess) return;
      if (state != cudaErrorNotReady) check(state, "a sum by NCCL");
      comm_.poll();
      if (roll_call_.out_of_time()) {
        comm_.abort();
        throw roll_call_.failure(slot.result.size());
      }
      if (Clock::now() - begun < std::chrono::microseconds(200)) {
        ::sched_yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    }
  }

  const CollectiveDeck deck_;
  const bool on_gpu_;
  Communicator comm_;
  RollCall roll_call_;
  CudaStream in_, work_, out_;
  std::vector<std::unique_ptr<Slot>> slots_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<Collective> make_nccl_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                                 const mpi::Comm& trainers, bool on_gpu) {
  return std::make_unique<NcclCollective>(deck, plan, trainers, on_gpu);
}

}  // namespace tightrope
