// NCCL among the processes of one machine.  The unique id names a file in /dev/shm: control words, a description of the
// operation that each rank is in, and room for a piece of each rank's data.  Sums add up the ranks in their order.
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <nccl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "standin.hpp"
#include "tightrope/base/bfloat16.hpp"

namespace standin {
namespace {

constexpr int kMostRanks = 16;
constexpr size_t kPiece = size_t{1} << 18;  // bytes

enum class Kind { all_reduce, reduce_scatter, all_gather, broadcast };

struct Operation {
  Kind kind;
  size_t count;
  ncclDataType_t type;
  int root;  // 0 where there is none
  int64_t number;
  bool operator==(const Operation&) const = default;
};

struct Shared {
  std::atomic<int> ranks, here, turn, error;  // error: a ncclResult_t that all ranks are to report
  std::atomic<int> taken[kMostRanks];
  Operation operation[kMostRanks];
  std::byte data[kMostRanks][kPiece];
};

std::atomic<int> fail_after{std::getenv("STANDIN_FAIL_AFTER") ? std::atoi(std::getenv("STANDIN_FAIL_AFTER")) : -1};
std::atomic<int> hold_after{-1};
std::set<ncclComm_t>& communicators() {
  static auto* const set = new std::set<ncclComm_t>;
  return *set;
}
std::mutex communicators_mutex;

size_t bytes_of(ncclDataType_t type) {
  if (type == ncclFloat32) return 4;
  if (type == ncclBfloat16) return 2;
  refuse("type " + std::to_string(type) + " is used, float32 and bfloat16 are the ones that we send");
}

std::string words(const Operation& o) {
  const char* const names[] = {"AllReduce", "ReduceScatter", "AllGather", "Broadcast"};
  return std::string(names[static_cast<int>(o.kind)]) + " of " + std::to_string(o.count) + " values of " +
         std::to_string(bytes_of(o.type)) + " bytes" +
         (o.kind == Kind::broadcast ? " from rank " + std::to_string(o.root) : "");
}

// As the type rounds, rank after rank.
void add(std::byte* sum, const std::byte* more, size_t bytes, ncclDataType_t type) {
  if (type == ncclFloat32) {
    auto* const a = reinterpret_cast<float*>(sum);
    for (size_t i = 0; i < bytes / 4; ++i) a[i] += reinterpret_cast<const float*>(more)[i];
  } else {
    using tightrope::from_bfloat16;
    auto* const a = reinterpret_cast<uint16_t*>(sum);
    const auto* const b = reinterpret_cast<const uint16_t*>(more);
    for (size_t i = 0; i < bytes / 2; ++i) a[i] = tightrope::to_bfloat16(from_bfloat16(a[i]) + from_bfloat16(b[i]));
  }
}

}  // namespace
}  // namespace standin

using namespace standin;

struct ncclComm {
  Shared* shared;
  int rank, ranks;
  int64_t operations = 0;
  std::atomic<bool> aborted{false};
  std::atomic<int> running{0};

  bool over() const { return aborted || shared->error != 0; }

  // False where the communicator ended meanwhile.
  bool barrier() {
    const int turn = shared->turn;
    if (++shared->here == ranks) {
      shared->here = 0;
      ++shared->turn;
      return !over();
    }
    while (shared->turn == turn && !over()) ::usleep(20);
    return !over();
  }

  bool same_operation(const Operation& mine) {
    shared->operation[rank] = mine;
    if (!barrier()) return false;
    for (int r = 0; r < ranks; ++r)
      if (!(shared->operation[r] == mine))
        refuse("rank " + std::to_string(rank) + " is in " + words(mine) + ", rank " + std::to_string(r) + " in " +
               words(shared->operation[r]) + " (operation " + std::to_string(mine.number) + ")");
    return barrier();
  }

  // One block that every rank sends; `take` says whether this rank wants the sum, or else everybody's bytes.
  template <class Take>
  bool block(const std::byte* from, size_t bytes, Take take) {
    for (size_t at = 0; at < bytes; at += kPiece) {
      const size_t piece = std::min(kPiece, bytes - at);
      std::memcpy(shared->data[rank], from + at, piece);
      if (!barrier()) return false;
      take(at, piece);
      if (!barrier()) return false;
    }
    return true;
  }

  void sum(std::byte* to, size_t piece, ncclDataType_t type) const {
    std::memcpy(to, shared->data[0], piece);
    for (int r = 1; r < ranks; ++r) add(to, shared->data[r], piece, type);
  }

  void run(const Operation& o, const std::byte* from, std::byte* to) {
    if (!same_operation(o)) return;
    const size_t bytes = o.count * bytes_of(o.type);
    if (o.kind == Kind::all_reduce) {
      block(from, bytes, [&](size_t at, size_t piece) { sum(to + at, piece, o.type); });
    } else if (o.kind == Kind::all_gather) {
      block(from, bytes, [&](size_t at, size_t piece) {
        for (int r = 0; r < ranks; ++r) std::memcpy(to + static_cast<size_t>(r) * bytes + at, shared->data[r], piece);
      });
    } else if (o.kind == Kind::broadcast) {
      block(from, bytes, [&](size_t at, size_t piece) { std::memcpy(to + at, shared->data[o.root], piece); });
    } else {
      for (int r = 0; r < ranks; ++r)
        if (!block(from + static_cast<size_t>(r) * bytes, bytes, [&](size_t at, size_t piece) {
              if (r == rank) sum(to + at, piece, o.type);
            }))
          return;
    }
  }
};

namespace {

ncclComm_t live(ncclComm_t comm) {
  const std::lock_guard lock(communicators_mutex);
  if (!communicators().contains(comm)) refuse("a communicator is used that does not exist (any more)");
  if (comm->aborted) refuse("a communicator is used after ncclCommAbort");
  return comm;
}

void forget(ncclComm_t comm) {
  const std::lock_guard lock(communicators_mutex);
  communicators().erase(comm);
}

ncclResult_t start(ncclComm_t comm, Kind kind, const void* from, void* to, size_t count, ncclDataType_t type,
                   cudaStream_t stream, int root = 0) {
  live(comm);
  if (root < 0 || root >= comm->ranks) refuse("there is no rank " + std::to_string(root) + " to be the root");
  const size_t bytes = count * bytes_of(type), all = bytes * static_cast<size_t>(comm->ranks);
  const Operation operation{kind, count, type, root, comm->operations++};
  const std::byte* const source = device_bytes(from, kind == Kind::reduce_scatter ? all : bytes);
  std::byte* const target = device_bytes(to, kind == Kind::all_gather ? all : bytes);
  const bool fails = fail_after >= 0 && fail_after-- == 0, held = hold_after >= 0 && hold_after-- == 0;
  ++comm->running;
  enqueue(stream, [=] {
    if (fails) comm->shared->error = ncclSystemError;
    while (held && !comm->over()) ::usleep(100);
    comm->run(operation, source, target);
    // As a kernel that waits for a peer: it ends when its communicator is aborted, not when an error is noticed.
    while (comm->shared->error != 0 && !comm->aborted) ::usleep(100);
    --comm->running;
  });
  return ncclSuccess;
}

struct AtExit {
  ~AtExit() {
    for (const ncclComm_t comm : communicators())
      if (!comm->aborted) refuse("the process ends with a communicator that was not destroyed");
  }
} at_exit;

}  // namespace

extern "C" {

void standin_fail_after(int operations) { fail_after = operations; }
void standin_hold(int operations) { hold_after = operations; }

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSystemError ? "unhandled system error (stand-in)" : "an error of the stand-in";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> count{0};
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/dev/shm/tightrope-standin-%d-%d", ::getpid(), count++);
  const int file = ::open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Shared)) != 0) return ncclSystemError;
  ::close(file);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  const int file = ::open(id.internal, O_RDWR);
  if (file < 0) refuse("the unique id is not one that ncclGetUniqueId made");
  if (ranks > kMostRanks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* const made = new ncclComm{static_cast<Shared*>(memory), rank, ranks};
  int expected = 0;
  if (!made->shared->ranks.compare_exchange_strong(expected, ranks) && expected != ranks)
    refuse("the ranks disagree about how many they are");
  if (made->shared->taken[rank]++ > 0) refuse("two processes are rank " + std::to_string(rank));
  made->barrier();
  if (rank == 0) ::unlink(id.internal);
  const std::lock_guard lock(communicators_mutex);
  communicators().insert(made);
  *comm = made;
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  live(comm);
  if (comm->running > 0) refuse("a communicator is destroyed while it is in use");
  forget(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  live(comm)->aborted = true;
  comm->shared->error = ncclRemoteError;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = static_cast<ncclResult_t>(live(comm)->shared->error.load());
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (op != ncclSum) refuse("an all-reduce is no sum");
  return start(comm, Kind::all_reduce, from, to, count, type, stream);
}

ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  if (op != ncclSum) refuse("a reduce-scatter is no sum");
  return start(comm, Kind::reduce_scatter, from, to, count, type, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return start(comm, Kind::all_gather, from, to, count, type, stream);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  return start(comm, Kind::broadcast, from, to, count, type, stream, root);
}

}  // extern "C"
