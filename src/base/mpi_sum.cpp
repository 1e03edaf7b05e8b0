// Sums over a communicator, whole and in slices.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "mpi_call.hpp"
#include "tightrope/base/bfloat16.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {
namespace {

template <class T>
void all_reduce(std::span<T> values, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  const Waiting waiting("MPI_Allreduce");
  in_pieces(static_cast<int64_t>(values.size()), sizeof(T), [&](int64_t offset, int count) {
    check(MPI_Allreduce(MPI_IN_PLACE, values.data() + offset, count, type, op, comm), "MPI_Allreduce");
  });
}

extern "C" void tightrope_add_bfloat16(void* in, void* sum, int* count, MPI_Datatype* /*type*/) {
  const auto* const a = static_cast<const uint16_t*>(in);
  auto* const b = static_cast<uint16_t*>(sum);
  for (int i = 0; i < *count; ++i) b[i] = to_bfloat16(from_bfloat16(a[i]) + from_bfloat16(b[i]));
}

// Made for one call: it is cheap, and nobody has to free it before MPI_Finalize.
class SumOfBfloat16 {
 public:
  SumOfBfloat16() { check(MPI_Op_create(tightrope_add_bfloat16, /*commute=*/1, &op_), "MPI_Op_create"); }
  ~SumOfBfloat16() { MPI_Op_free(&op_); }
  SumOfBfloat16(const SumOfBfloat16&) = delete;
  SumOfBfloat16& operator=(const SumOfBfloat16&) = delete;
  operator MPI_Op() const { return op_; }

 private:
  MPI_Op op_ = MPI_OP_NULL;
};

// Where each rank's slice begins, and its length.
struct Slices {
  Slices(size_t values, size_t slice, int ranks) {
    for (size_t r = 0; r < static_cast<size_t>(ranks); ++r) {
      const size_t first = std::min(r * slice, values);
      starts.push_back(static_cast<int>(first));
      counts.push_back(static_cast<int>(std::min(slice, values - first)));
    }
  }
  std::vector<int> starts, counts;
};

template <class T>
void reduce_scatter(std::span<const T> values, size_t slice, std::span<T> mine, MPI_Datatype type, MPI_Op op,
                    const Comm& comm, MPI_Comm handle) {
  const Slices slices(values.size(), slice, comm.size());
  EXPECT(mine.size() == static_cast<size_t>(slices.counts[static_cast<size_t>(comm.rank())]));
  const Waiting waiting("MPI_Reduce_scatter");
  check(MPI_Reduce_scatter(values.data(), mine.data(), slices.counts.data(), type, op, handle), "MPI_Reduce_scatter");
}

}  // namespace

void Comm::sum(std::span<double> values) const { all_reduce(values, MPI_DOUBLE, MPI_SUM, handle_->comm); }
void Comm::sum(std::span<int64_t> values) const { all_reduce(values, MPI_INT64_T, MPI_SUM, handle_->comm); }
void Comm::max(std::span<int64_t> values) const { all_reduce(values, MPI_INT64_T, MPI_MAX, handle_->comm); }
void Comm::sum(std::span<float> values) const { all_reduce(values, MPI_FLOAT, MPI_SUM, handle_->comm); }

void Comm::sum_bfloat16(std::span<uint16_t> values) const {
  all_reduce(values, MPI_UINT16_T, SumOfBfloat16(), handle_->comm);
}

void Comm::sum_slices(std::span<const float> values, size_t slice, std::span<float> mine) const {
  reduce_scatter(values, slice, mine, MPI_FLOAT, MPI_SUM, *this, handle_->comm);
}

void Comm::sum_slices_bfloat16(std::span<const uint16_t> values, size_t slice, std::span<uint16_t> mine) const {
  reduce_scatter(values, slice, mine, MPI_UINT16_T, SumOfBfloat16(), *this, handle_->comm);
}

void Comm::gather_slices(std::span<float> values, size_t slice) const {
  const Slices slices(values.size(), slice, size_);
  const Waiting waiting("MPI_Allgatherv");
  check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data(), slices.counts.data(), slices.starts.data(),
                       MPI_FLOAT, handle_->comm),
        "MPI_Allgatherv");
}

bool Comm::meet(const std::function<bool()>& give_up) const {
  using Clock = std::chrono::steady_clock;
  constexpr auto kYieldFor = std::chrono::microseconds(200), kNap = std::chrono::microseconds(50);
  const Waiting waiting("MPI_Ibarrier");
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(handle_->comm, &request), "MPI_Ibarrier");
  for (const auto begun = Clock::now();;) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done) return true;
    if (give_up()) return false;
    if (Clock::now() - begun < kYieldFor) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

}  // namespace tightrope::mpi
