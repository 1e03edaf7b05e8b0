// Writing and reading the content of a checkpoint.  Files and folders: checkpoint_folder.cpp.
#include "tightrope/run/checkpoint.hpp"

#include <algorithm>
#include <filesystem>
#include <span>

#include "checkpoint_folder.hpp"
#include "checkpoint_format.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/new_file.hpp"
#include "tightrope/run/clock.hpp"

namespace tightrope {
namespace {

std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& line : list) text += (text.empty() ? "" : "\n") + line;
  return text;
}

// Attributes must be equal on all ranks of a parallel file: trainer 0's are.
template <class T>
void write_map(h5::File& file, const mpi::Comm& comm, const std::string& group, const std::map<std::string, T>& map) {
  std::vector<T> values;
  for (const auto& [name, value] : map) values.push_back(value);
  comm.broadcast(std::as_writable_bytes(std::span(values)), 0);
  file.make_group(group);
  size_t i = 0;
  for (const auto& [name, value] : map) file.set_attribute(group, name, values[i++]);
}

template <class T>
std::vector<T> column(std::span<const IndexEntry> entries, T IndexEntry::*field) {
  std::vector<T> values;
  values.reserve(entries.size());
  for (const IndexEntry& entry : entries) values.push_back(entry.*field);
  return values;
}

void write_head(h5::File& file, const mpi::Comm& comm, const CheckpointData& data) {
  file.set_attribute("/", "format", std::string(checkpoint::format_name));
  file.set_attribute("/", "format_version", checkpoint::format_version);
  file.set_attribute("/", "deck", comm.broadcast(data.deck, 0));
  file.set_attribute("/", "task", comm.broadcast(data.task, 0));
  file.set_attribute("/", "build", comm.broadcast(lines(data.build), 0));
  file.set_attribute("/", "step", data.step);
  file.set_attribute("/", "ranks", data.ranks);
  file.set_attribute("/", "trainers", data.trainers);
  file.set_attribute("/", "searchers", data.searchers);
  write_map(file, comm, "/scalars", data.scalars);
  write_map(file, comm, "/integers", data.integers);
  write_map(file, comm, "/clocks", data.clocks);
  const bool first = comm.rank() == 0;
  file.write<int64_t>("/searchers/cursors", first ? std::span(data.searcher_cursors) : std::span<const int64_t>(),
                      "visits", "per searcher: what it samples next");
}

void write_parameters(h5::File& file, const mpi::Comm& comm, const std::vector<SavedParameters>& sets) {
  file.make_group("/parameters");
  for (const SavedParameters& set : sets) {
    const std::string group = "/parameters/" + set.name;
    file.make_group(group);
    file.set_attribute(group, "table", comm.broadcast(checkpoint::rows_as_json(set.rows), 0));
    for (const auto& [name, values] : set.arrays) file.write<float>(group + "/" + name, values, "1", "flat; see table");
  }
}

void write_store(h5::File& file, const CheckpointData& data) {
  std::vector<int64_t> sizes;
  for (size_t i = 1; i < data.offsets.size(); ++i) sizes.push_back(data.offsets[i] - data.offsets[i - 1]);
  file.write<std::byte>("/store/records", data.records, "bytes", "packed records, one after another");
  file.write<int64_t>("/store/record_bytes", sizes, "bytes", "size of each record");
  const auto& entries = data.index.entries;
  for (const auto& row : checkpoint::index_columns()) {
    file.write<int64_t>(std::string("/index/") + row.name, column(entries, row.field), row.unit, row.help);
  }
  file.write<uint64_t>("/index/ticket", column(entries, &IndexEntry::ticket), "1", checkpoint::ticket_help);
  file.write<uint64_t>("/index/content", column(entries, &IndexEntry::content), "1", checkpoint::content_help);
  file.write<double>("/index/log_reward", column(entries, &IndexEntry::log_reward), "nats",
                     checkpoint::log_reward_help);
  file.write<int64_t>("/index/counters", data.index.counters, "1", "next ticket, inserted, drawn, epoch state ...");
  file.make_group("/sums");
  for (const auto& [name, values] : data.sums) {
    file.write<double>("/sums/" + name, values, "", "adds up over the trainers, element by element");
  }
  file.make_group("/own");
  for (const auto& [name, values] : data.own) file.write<int64_t>("/own/" + name, values, "1", "this trainer's own");
}

// Reads this rank's slabs back: a write that only seemed to succeed is found while the old checkpoint is still there.
std::string read_back(const std::string& path, int64_t rank) {
  try {
    const auto file = checkpoint::open(path);
    for (const auto& dataset : checkpoint::datasets(file, "/")) file.verify_slab(dataset, rank);
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

}  // namespace

WrittenCheckpoint write_checkpoint(const mpi::Comm& trainers, const CheckpointPlace& place,
                                   const CheckpointData& data) {
  EXPECT(data.offsets.size() == data.index.entries.size() + 1);
  const Stopwatch watch;
  const bool two_levels = !place.local.empty();
  const std::string path = checkpoint::file_name(two_levels ? place.local : place.folder, data.step);
  const std::string draft = path + ".tmp";
  {
    auto file = h5::File::create(draft, trainers);
    write_head(file, trainers, data);
    write_parameters(file, trainers, data.parameters);
    write_store(file, data);
    file.close();
  }
  trainers.barrier();
  const std::string problem = read_back(draft, trainers.rank());  // while the kernel is writing
  sync_to_disk(draft);
  WrittenCheckpoint written{checkpoint::file_name(place.folder, data.step), 0, watch.seconds()};
  int64_t bad = problem.empty() ? 0 : trainers.rank() + 1;
  trainers.max(std::span(&bad, 1));
  VALIDATE(bad == 0, "checkpoint '" + draft + "' could not be read back",
           problem.empty() ? "by trainer " + std::to_string(bad - 1) : problem,
           "check the disk; the checkpoints before it are untouched");
  if (trainers.rank() != 0) return written;
  written.bytes = static_cast<int64_t>(std::filesystem::file_size(draft));
  checkpoint::publish(draft, path, two_levels ? 1 : place.keep, two_levels ? 0 : place.keep_every);
  if (two_levels) checkpoint::drain(path, written.path, place.keep, place.keep_every);
  return written;
}

}  // namespace tightrope
