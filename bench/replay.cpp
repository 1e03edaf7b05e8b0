// How fast records go through lane and store, against memcpy of the same bytes.
//   mpirun -n 1 bench_replay     one core: append and drain take turns, in an unbounded lane as asynchronous runs do
//   mpirun -n 2 bench_replay     rank 1 appends while rank 0 drains, in a bounded lane so that every record counts
// memcpy: each record once into a buffer of the ring's size and once from there into a buffer of the store's size, in
// window memory like ours; with 2 ranks each does one of the two at the same time and the slower counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tightrope/comm/replay_window.hpp"

namespace tightrope {
namespace {

constexpr int64_t ring_bytes = 4 << 20, store_bytes = 128 << 20, moved_bytes = 256 << 20, batch_bytes = 128 << 10;
constexpr int runs = 7;

double seconds_of(const mpi::Comm& comm, const std::function<void()>& work) {
  comm.barrier();
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> mine = std::chrono::steady_clock::now() - start;
  auto nanoseconds = static_cast<int64_t>(mine.count() * 1e9);
  comm.max(std::span(&nanoseconds, 1));
  return static_cast<double>(nanoseconds) * 1e-9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// One size of record: both paths over the same source bytes, in the same batches.
class Contest {
 public:
  Contest(const mpi::Comm& comm, int64_t size)
      : comm_(comm),
        size_(size),
        records_(std::min<int64_t>(moved_bytes / size, 1 << 20)),
        batch_(std::clamp<int64_t>(batch_bytes / size, 2, 256)),
        window_(comm, geometry(size, comm.size() == 2)),
        plain_(comm, ring_bytes + window_.geometry().slots * size),
        source_(static_cast<size_t>(batch_ * size), std::byte{7}) {
    for (int64_t i = 0; i < batch_; ++i) {
      outgoing_.push_back(
          {RecordKind::trajectory, 0,
           std::span<const std::byte>(source_).subspan(static_cast<size_t>(i * size), static_cast<size_t>(size))});
    }
  }

  int64_t records() const { return records_; }

  double through_window() {
    arrived_ = 0;
    return seconds_of(comm_, [this] {
      if (comm_.size() == 1) {
        for (int64_t sent = 0; sent < records_; sent += batch_) {
          send_batch();
          drain();
        }
      } else if (comm_.rank() == 1) {
        for (int64_t sent = 0; sent < records_; sent += batch_) send_batch();
      } else if (comm_.rank() == 0) {
        while (arrived_ < records_) drain();
      }
    });
  }

  double through_memcpy() {
    return seconds_of(comm_, [this] {
      std::byte* ring = plain_.local().data();
      std::byte* store = ring + ring_bytes;
      const int64_t in_ring = ring_bytes / size_, in_store = window_.geometry().slots;
      const bool first = comm_.size() == 1 || comm_.rank() == 1, second = comm_.rank() == 0;
      const auto bytes = static_cast<size_t>(size_);
      for (int64_t sent = 0; sent < records_; sent += batch_) {
        for (int64_t i = 0; first && i < batch_; ++i) {
          std::memcpy(ring + (sent + i) % in_ring * size_, outgoing_[static_cast<size_t>(i)].payload.data(), bytes);
        }
        for (int64_t i = 0; second && i < batch_; ++i) {
          std::memcpy(store + (sent + i) % in_store * size_, ring + (sent + i) % in_ring * size_, bytes);
        }
      }
    });
  }

 private:
  static ReplayGeometry geometry(int64_t size, bool bounded) {
    ReplayGeometry g;
    g.record_bytes = size;
    g.lane_bytes = ring_bytes;
    g.slots = store_bytes / size;
    g.bounded = bounded;
    return g;
  }

  void send_batch() {
    std::span<const OutgoingRecord> rest(outgoing_);
    while (!rest.empty()) {
      const size_t taken = window_.append(0, 0, rest);
      rest = rest.subspan(taken);
      if (taken == 0) std::this_thread::yield();
    }
  }

  void drain() {
    const size_t some = window_.drain(0, static_cast<size_t>(batch_), [this](const LaneRecord& record) {
      window_.write(static_cast<int64_t>(record.ticket) % window_.geometry().slots, record.ticket, record);
    });
    arrived_ += static_cast<int64_t>(some);
    if (some == 0) std::this_thread::yield();
  }

  const mpi::Comm& comm_;
  int64_t size_, records_, batch_;
  ReplayWindow window_;
  mpi::Window plain_;
  std::vector<std::byte> source_;
  std::vector<OutgoingRecord> outgoing_;
  int64_t arrived_ = 0;
};

void report(const mpi::Comm& comm, int64_t size) {
  Contest contest(comm, size);
  contest.through_memcpy();  // touches what the first timed run would
  contest.through_window();
  std::vector<double> ours, plain;
  for (int run = 0; run < runs; ++run) {
    plain.push_back(contest.through_memcpy());
    ours.push_back(contest.through_window());
  }
  if (comm.rank() != 0) return;
  const auto rate = [&](double seconds) { return static_cast<double>(contest.records()) / seconds; };
  std::printf("%8lld %14.0f %14.0f %9.2f %9.2f %8.2f\n", static_cast<long long>(size), rate(median(ours)),
              rate(median(plain)), rate(median(ours)) * static_cast<double>(size) * 1e-9,
              rate(median(plain)) * static_cast<double>(size) * 1e-9, median(plain) / median(ours));
}

int run() {
  const mpi::Comm comm = mpi::Comm::world();
  if (comm.size() > 2) {
    if (comm.rank() == 0) std::fprintf(stderr, "bench_replay runs on 1 or 2 ranks, not %d\n", comm.size());
    return 2;
  }
  if (comm.rank() == 0) {
    std::printf(
        "lane (%lld MiB) + store (%lld MiB) on %d rank(s), median of %d runs; memcpy = one copy into a ring and "
        "one into the store%s\n%8s %14s %14s %9s %9s %8s\n",
        static_cast<long long>(ring_bytes >> 20), static_cast<long long>(store_bytes >> 20), comm.size(), runs,
        comm.size() == 2 ? ", each by one rank at the same time" : "", "bytes", "records/s", "memcpy rec/s", "GB/s",
        "memcpy", "ratio");
  }
  for (const int64_t size : {64, 4096, 65536}) report(comm, size);
  return 0;
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  tightrope::mpi::Session session(argc, argv);
  return tightrope::mpi::guarded(tightrope::run);
}
