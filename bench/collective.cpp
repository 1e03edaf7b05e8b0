// The sum of a gradient over the trainers by MPI: bandwidth against one bare all-reduce of the same bytes, and how
// much of it hides behind a backward pass.   mpirun -n 2 bench_collective [VALUES [BUCKET_MIB [bfloat16]]]
// The backward pass is arithmetic in the first cache for twice the time of the sum, after each bucket's share of which
// that bucket is complete.  Medians of seven turns, in which all variants follow one another.  Processor time is that
// of all ranks, and what a rank spins while it waits is part of it: where the ranks with the sum beside the pass keep
// all cores busy, more can be hidden only by working less.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tightrope/base/mpi.hpp"
#include "tightrope/comm/gradient_sum.hpp"

namespace {

using namespace tightrope;
using Clock = std::chrono::steady_clock;

constexpr int kTurns = 7;

double seconds_of(const mpi::Comm& comm, const std::function<void()>& body) {
  comm.barrier();
  const auto start = Clock::now();
  body();
  comm.barrier();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of all threads of this process, seconds.
double processor_time() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// What `body` takes of it on all ranks.
double processor_seconds_of(const mpi::Comm& comm, const std::function<void()>& body) {
  double used[1] = {-processor_time()};
  body();
  used[0] += processor_time();
  comm.sum(used);
  return used[0];
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Rounds of multiply and add over 16 KiB.
void compute(int64_t rounds) {
  static std::vector<float> values(4096, 1.0F);
  for (int64_t round = 0; round < rounds; ++round)
    for (float& value : values) value = value * 0.999F + 0.001F;
}

int64_t rounds_per_second() {
  constexpr int64_t kRounds = 200000;
  const auto start = Clock::now();
  compute(kRounds);
  return static_cast<int64_t>(kRounds / std::chrono::duration<double>(Clock::now() - start).count());
}

struct Times {
  std::vector<double> bare, blocking, pass, pass_then_sum, overlapped;
  std::vector<double> pass_work, overlapped_work;  // processor seconds
};

void print(const Times& times, const GradientPlan& plan, const std::string& name) {
  const double bare = median(times.bare), sum = median(times.blocking), alone_pass = median(times.pass);
  const double together = median(times.pass_then_sum), overlapped = median(times.overlapped);
  const double bytes = 4.0 * static_cast<double>(plan.values);
  std::printf("%d trainers, %u cores; %lld values in %zu buckets of at most %lld MiB, %s\n", plan.trainers,
              std::thread::hardware_concurrency(), static_cast<long long>(plan.values), plan.buckets.size(),
              static_cast<long long>(plan.bucket_values >> 18), name.c_str());
  std::printf("  bare all-reduce       %.3f s  %6.2f GB/s of gradient\n", bare, bytes / bare / 1e9);
  std::printf("  buckets, blocking     %.3f s  %6.2f GB/s  %3.0f %% of bare\n", sum, bytes / sum / 1e9,
              100 * bare / sum);
  std::printf("  backward pass         %.3f s alone, %.3f s and then the sum, %.3f s with the sum beside it\n",
              alone_pass, together, overlapped);
  std::printf("  hidden                %3.0f %% of the sum\n", 100 * (together - overlapped) / (together - alone_pass));
  const double work = median(times.overlapped_work), of_pass = median(times.pass_work);
  const unsigned cores = std::min(std::thread::hardware_concurrency(), 2 * static_cast<unsigned>(plan.trainers));
  std::printf("  processor time        %.3f s of the pass, %.3f s with the sum beside it: %3.0f %% of %u cores\n",
              of_pass, work, 100 * work / (overlapped * cores), cores);
}

int run(int64_t values, int64_t bucket_mib, const std::string& precision) {
  const mpi::Comm comm = mpi::Comm::world();
  CollectiveDeck blocking;
  blocking.precision = precision;
  blocking.bucket = bucket_mib << 20;
  blocking.overlap = false;
  CollectiveDeck beside = blocking;
  beside.overlap = true;
  const GradientPlan plan(values, blocking.bucket, comm.size());
  const auto alone = make_collective(blocking, plan, comm), helped = make_collective(beside, plan, comm);
  std::vector<float> gradient(static_cast<size_t>(values), 1e-3F);
  GradientSum blocked(plan, comm.rank(), *alone, gradient, false), hidden(plan, comm.rank(), *helped, gradient, false);

  blocked.finish();  // pages, connections
  int64_t share[1] = {static_cast<int64_t>(rounds_per_second() * 2 * seconds_of(comm, [&] { blocked.finish(); })) /
                      static_cast<int64_t>(plan.buckets.size())};
  comm.max(share);
  const auto pass = [&](const std::function<void(const Extent&)>& done) {
    for (const Extent& bucket : plan.buckets) {
      compute(share[0]);
      done(bucket);
    }
  };
  Times times;
  for (int turn = 0; turn < kTurns; ++turn) {
    times.bare.push_back(seconds_of(comm, [&] { comm.sum(gradient); }));
    times.blocking.push_back(seconds_of(comm, [&] { blocked.finish(); }));
    times.pass_work.push_back(processor_seconds_of(
        comm, [&] { times.pass.push_back(seconds_of(comm, [&] { pass([](const Extent&) {}); })); }));
    times.pass_then_sum.push_back(seconds_of(comm, [&] {
      pass([](const Extent&) {});
      blocked.finish();
    }));
    times.overlapped_work.push_back(processor_seconds_of(comm, [&] {
      times.overlapped.push_back(seconds_of(comm, [&] {
        hidden.begin();
        pass([&](const Extent& bucket) { hidden.complete(bucket); });
        hidden.finish();
      }));
    }));
    std::ranges::fill(gradient, 1e-3F);
  }
  if (comm.rank() == 0) print(times, plan, helped->name());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  mpi::Session session(argc, argv);
  return mpi::guarded([&] {
    return run(argc > 1 ? std::atoll(argv[1]) : 134515008, argc > 2 ? std::atoll(argv[2]) : 25,
               argc > 3 ? argv[3] : "float32");
  });
}
