// Checkpoints against what the machine can do; bench/checkpoint.py runs it beside dd and cat.
//   mpirun -n N bench_checkpoint write FOLDER MIB       weights and moments of so many MiB: seconds to write them, and
//                                                       seconds to copy them in memory
//   mpirun -n N bench_checkpoint records FOLDER COUNT   writes a checkpoint of so many records over N trainers
//   mpirun -n N bench_checkpoint restart FILE COUNT     seconds until every rank has its records in its store and index
// Prints numbers, largest over the ranks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>

#include "tightrope/comm/replay_window.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope {
namespace {

constexpr int64_t record_bytes = 112;  // of a trajectory on the 8x8 hypergrid

double seconds_of(const mpi::Comm& comm, const std::function<void()>& work) {
  comm.barrier();
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> mine = std::chrono::steady_clock::now() - start;
  auto nanoseconds = static_cast<int64_t>(mine.count() * 1e9);
  comm.max(std::span(&nanoseconds, 1));
  return static_cast<double>(nanoseconds) * 1e-9;
}

CheckpointData empty(const mpi::Comm& comm) {
  CheckpointData data;
  data.ranks = data.trainers = data.searchers = comm.size();
  data.offsets = {0};
  data.searcher_cursors.assign(static_cast<size_t>(comm.size()), 0);
  return data;
}

// Weights and moments of this rank: three arrays of noise.
std::map<std::string, std::vector<float>> arrays_of(int64_t bytes) {
  std::vector<float> values(static_cast<size_t>(bytes / 3) / sizeof(float));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<uint32_t>(i) * 2654435761u) * 0x1p-32f - 0.5f;
  }
  return {{"weights", values}, {"adam_first", values}, {"adam_second", values}};
}

int write(const mpi::Comm& comm, const std::string& folder, int64_t mebibytes) {
  CheckpointData data = empty(comm);
  data.parameters = {{"policy", {}, arrays_of((mebibytes << 20) / comm.size())}};
  auto copies = data.parameters[0].arrays;  // memory that has been touched, as that of a checkpoint before this one
  const double copied = seconds_of(comm, [&] {
    for (const auto& [name, values] : data.parameters[0].arrays) std::ranges::copy(values, copies[name].begin());
  });
  const double written = seconds_of(comm, [&] { write_checkpoint(comm, {folder, "", 1, 0}, data); });
  if (comm.rank() == 0) std::printf("%.6f %.6f\n", written, copied);
  return 0;
}

int write_records(const mpi::Comm& comm, const std::string& folder, int64_t count) {
  CheckpointData data = empty(comm);
  const int64_t mine = count / comm.size();
  ReplayIndex index(ReplayDeck(), mine);
  for (int64_t i = 0; i < mine; ++i) {
    IndexEntry entry;
    entry.id = i * comm.size() + comm.rank();
    entry.query = entry.id % 1000;
    entry.version = i / 64;
    entry.length = 8;
    entry.content = static_cast<uint64_t>(entry.id);
    index.insert(entry);
    data.offsets.push_back(data.offsets.back() + record_bytes);
  }
  data.index = index.snapshot();
  data.records.assign(static_cast<size_t>(mine * record_bytes), std::byte{7});
  write_checkpoint(comm, {folder, "", 1, 0}, data);
  return 0;
}

int restart(const mpi::Comm& comm, const std::string& path, int64_t count) {
  const int64_t mine = count / comm.size();
  ReplayGeometry geometry;
  geometry.trainers = comm.size();
  geometry.record_bytes = record_bytes;
  geometry.slots = mine;
  ReplayWindow window(comm, geometry);
  const double seconds = seconds_of(comm, [&] {
    CheckpointData data = read_checkpoint(path, comm.rank());
    ReplayIndex index(ReplayDeck(), mine);
    restore_store(data, index, window);
  });
  if (comm.rank() == 0) std::printf("%.6f\n", seconds);
  return 0;
}

int run(const std::vector<std::string>& words) {
  const mpi::Comm comm = mpi::Comm::world();
  if (words.size() == 3 && words[0] == "write") return write(comm, words[1], std::stoll(words[2]));
  if (words.size() == 3 && words[0] == "records") return write_records(comm, words[1], std::stoll(words[2]));
  if (words.size() == 3 && words[0] == "restart") return restart(comm, words[1], std::stoll(words[2]));
  if (comm.rank() == 0) std::fprintf(stderr, "usage: see bench/checkpoint.py\n");
  return 2;
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  tightrope::mpi::Session session(argc, argv);
  return tightrope::mpi::guarded([&] { return tightrope::run({argv + 1, argv + argc}); });
}
