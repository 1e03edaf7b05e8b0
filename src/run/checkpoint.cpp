// Writing and reading the content of a checkpoint.  Files and folders: checkpoint_folder.cpp.
#include "tightrope/run/checkpoint.hpp"

#include <algorithm>
#include <span>

#include "checkpoint_folder.hpp"
#include "checkpoint_format.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& line : list) text += (text.empty() ? "" : "\n") + line;
  return text;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> list;
  for (size_t first = 0; first < text.size();) {
    const size_t end = std::min(text.find('\n', first), text.size());
    list.push_back(text.substr(first, end - first));
    first = end + 1;
  }
  return list;
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
std::vector<T> column(const std::vector<IndexEntry>& entries, T IndexEntry::*field) {
  std::vector<T> values;
  values.reserve(entries.size());
  for (const IndexEntry& entry : entries) values.push_back(entry.*field);
  return values;
}

template <class T>
void read_column(const h5::File& file, const std::string& name, int64_t trainer, T IndexEntry::*field,
                 std::vector<IndexEntry>& entries) {
  const auto values = file.read_slab<T>("/index/" + name, trainer);
  VALIDATE(values.size() == entries.size(), "the index of the checkpoint does not fit its store",
           "column '/index/" + name + "' has " + std::to_string(values.size()) + " rows and the store " +
               std::to_string(entries.size()),
           "choose another checkpoint");
  for (size_t i = 0; i < values.size(); ++i) entries[i].*field = values[i];
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
    for (const auto& [name, values] : set.arrays) {
      const auto size = static_cast<int64_t>(values.size());
      const auto first = static_cast<size_t>(size * comm.rank() / comm.size());
      const auto end = static_cast<size_t>(size * (comm.rank() + 1) / comm.size());
      file.write<float>(group + "/" + name, std::span(values).subspan(first, end - first), "1", "flat; see table");
    }
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
  file.make_group("/own");
  for (const auto& [name, values] : data.own) file.write<int64_t>("/own/" + name, values, "1", "this trainer's own");
}

void read_head(const h5::File& file, CheckpointData& data) {
  data.deck = file.text_attribute("/", "deck");
  data.task = file.text_attribute("/", "task");
  data.build = split(file.text_attribute("/", "build"));
  data.step = file.integer_attribute("/", "step");
  data.ranks = file.integer_attribute("/", "ranks");
  data.trainers = file.integer_attribute("/", "trainers");
  data.searchers = file.integer_attribute("/", "searchers");
  for (const auto& name : file.attribute_names("/scalars")) data.scalars[name] = file.real_attribute("/scalars", name);
  for (const auto& name : file.attribute_names("/integers")) {
    data.integers[name] = file.integer_attribute("/integers", name);
  }
  for (const auto& name : file.attribute_names("/clocks")) data.clocks[name] = file.integer_attribute("/clocks", name);
  data.searcher_cursors = file.read<int64_t>("/searchers/cursors");
}

std::vector<SavedParameters> read_parameters(const h5::File& file, const std::string& path) {
  std::vector<SavedParameters> sets;
  for (const std::string& name : file.members("/parameters")) {
    const std::string group = "/parameters/" + name;
    SavedParameters set;
    set.name = name;
    set.rows = checkpoint::rows_from_json(file.text_attribute(group, "table"), "'" + group + "' of '" + path + "'");
    for (const std::string& array : file.members(group)) set.arrays[array] = file.read<float>(group + "/" + array);
    sets.push_back(std::move(set));
  }
  return sets;
}

void read_store(const h5::File& file, const std::string& path, int64_t trainer, CheckpointData& data) {
  data.records = file.read_slab<std::byte>("/store/records", trainer);
  const auto sizes = file.read_slab<int64_t>("/store/record_bytes", trainer);
  data.offsets = {0};
  for (const int64_t size : sizes) data.offsets.push_back(data.offsets.back() + size);
  VALIDATE(data.offsets.back() == static_cast<int64_t>(data.records.size()),
           "the store in '" + path + "' does not fit its records",
           std::to_string(data.offsets.back()) + " bytes of records, " + std::to_string(data.records.size()) +
               " bytes in dataset '/store/records'",
           "choose another checkpoint");
  auto& entries = data.index.entries;
  entries.resize(sizes.size());
  for (const auto& row : checkpoint::index_columns()) read_column(file, row.name, trainer, row.field, entries);
  read_column(file, "ticket", trainer, &IndexEntry::ticket, entries);
  read_column(file, "content", trainer, &IndexEntry::content, entries);
  read_column(file, "log_reward", trainer, &IndexEntry::log_reward, entries);
  data.index.counters = file.read_slab<int64_t>("/index/counters", trainer);
  for (const std::string& name : file.members("/own")) {
    data.own[name] = file.read_slab<int64_t>("/own/" + name, trainer);
  }
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

std::string write_checkpoint(const mpi::Comm& trainers, const std::string& folder, const CheckpointData& data,
                             int64_t keep) {
  EXPECT(data.offsets.size() == data.index.entries.size() + 1);
  const std::string path = checkpoint::file_name(folder, data.step), draft = path + ".tmp";
  {
    auto file = h5::File::create(draft, trainers);
    write_head(file, trainers, data);
    write_parameters(file, trainers, data.parameters);
    write_store(file, data);
    file.close();
  }
  checkpoint::sync_file(draft);
  trainers.barrier();
  const std::string problem = read_back(draft, trainers.rank());
  int64_t bad = problem.empty() ? 0 : trainers.rank() + 1;
  trainers.max(std::span(&bad, 1));
  VALIDATE(bad == 0, "checkpoint '" + draft + "' could not be read back",
           problem.empty() ? "by trainer " + std::to_string(bad - 1) : problem,
           "check the disk; the checkpoints before it are untouched");
  if (trainers.rank() == 0) checkpoint::publish(folder, draft, path, keep);
  return path;
}

CheckpointData read_checkpoint(const std::string& path, int64_t trainer) {
  const auto file = checkpoint::open(path);
  CheckpointData data;
  read_head(file, data);
  VALIDATE(trainer < data.trainers, "cannot restart trainer " + std::to_string(trainer) + " from '" + path + "'",
           "it was written by " + std::to_string(data.trainers) + " trainers",
           "restart with the same number of trainers");
  data.parameters = read_parameters(file, path);
  read_store(file, path, trainer, data);
  return data;
}

}  // namespace tightrope
