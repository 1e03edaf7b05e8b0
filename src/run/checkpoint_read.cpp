// Reading a checkpoint, as it was written or for another number of trainers.
#include <algorithm>
#include <span>

#include "checkpoint_format.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> list;
  for (size_t first = 0; first < text.size();) {
    const size_t end = std::min(text.find('\n', first), text.size());
    list.push_back(text.substr(first, end - first));
    first = end + 1;
  }
  return list;
}

template <class T>
BigVector<T> read_column(const h5::File& file, const std::string& name, int64_t trainer, size_t rows) {
  auto values = file.read_slab<T, BigVector<T>>("/index/" + name, trainer);
  VALIDATE(values.size() == rows, "the index of the checkpoint does not fit its store",
           "column '/index/" + name + "' has " + std::to_string(values.size()) + " rows and the store " +
               std::to_string(rows),
           "choose another checkpoint");
  return values;
}

BigVector<IndexEntry> read_entries(const h5::File& file, int64_t trainer, size_t rows) {
  const auto table = checkpoint::index_columns();
  std::vector<BigVector<int64_t>> columns;
  for (const auto& row : table) columns.push_back(read_column<int64_t>(file, row.name, trainer, rows));
  const auto tickets = read_column<uint64_t>(file, "ticket", trainer, rows);
  const auto contents = read_column<uint64_t>(file, "content", trainer, rows);
  const auto log_rewards = read_column<double>(file, "log_reward", trainer, rows);
  BigVector<IndexEntry> entries;
  entries.reserve(rows);
  for (size_t i = 0; i < rows; ++i) {
    IndexEntry& entry = entries.emplace_back();
    for (size_t c = 0; c < table.size(); ++c) entry.*table[c].field = columns[c][i];
    entry.ticket = tickets[i];
    entry.content = contents[i];
    entry.log_reward = log_rewards[i];
  }
  return entries;
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

// What trainer `trainer` of those that wrote the file had of its own.
void read_own(const h5::File& file, const std::string& path, int64_t trainer, CheckpointData& data) {
  for (const std::string group : {"/index", "/store"}) {
    for (const std::string& name : file.members(group)) file.read_ahead(group + "/" + name, trainer);
  }
  data.records = file.read_slab<std::byte, BigVector<std::byte>>("/store/records", trainer);
  const auto sizes = file.read_slab<int64_t, BigVector<int64_t>>("/store/record_bytes", trainer);
  data.offsets.reserve(sizes.size() + 1);
  data.offsets = {0};
  auto left = static_cast<int64_t>(data.records.size());
  for (const int64_t size : sizes) {
    left = size >= 0 && size <= left ? left - size : -1;
    data.offsets.push_back(data.offsets.back() + (left >= 0 ? size : 0));
  }
  VALIDATE(left == 0, "the store in '" + path + "' does not fit its records",
           "dataset '/store/record_bytes' does not add up to the " + std::to_string(data.records.size()) +
               " bytes of '/store/records'",
           "choose another checkpoint");
  data.index.entries = read_entries(file, trainer, sizes.size());
  data.index.counters = file.read_slab<int64_t>("/index/counters", trainer);
  if (file.has("/sums")) {
    for (const std::string& name : file.members("/sums"))
      data.sums[name] = file.read_slab<double>("/sums/" + name, trainer);
  }
  for (const std::string& name : file.members("/own")) {
    data.own[name] = file.read_slab<int64_t>("/own/" + name, trainer);
  }
}

// Puts the records that a merge keeps into its order.
void arrange(const ReplayMerge::Result& merged, BigVector<std::byte>& records, BigVector<int64_t>& offsets) {
  BigVector<std::byte> arranged;
  BigVector<int64_t> starts = {0};
  arranged.reserve(records.size());
  for (const size_t source : merged.source) {
    const auto first = static_cast<size_t>(offsets[source]), last = static_cast<size_t>(offsets[source + 1]);
    arranged.insert(arranged.end(), records.begin() + static_cast<std::ptrdiff_t>(first),
                    records.begin() + static_cast<std::ptrdiff_t>(last));
    starts.push_back(static_cast<int64_t>(arranged.size()));
  }
  records = std::move(arranged);
  offsets = std::move(starts);
}

void add_up(const std::map<std::string, std::vector<double>>& more, std::map<std::string, std::vector<double>>& sums) {
  for (const auto& [name, values] : more) {
    auto& sum = sums[name];
    sum.resize(std::max(sum.size(), values.size()));
    for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
  }
}

}  // namespace

CheckpointData read_checkpoint_head(const std::string& path) {
  const auto file = checkpoint::open(path);
  CheckpointData data;
  read_head(file, data);
  return data;
}

CheckpointData read_checkpoint(const std::string& path, int64_t trainer) {
  const auto file = checkpoint::open(path);
  CheckpointData data;
  read_head(file, data);
  VALIDATE(trainer < data.trainers, "cannot restart trainer " + std::to_string(trainer) + " from '" + path + "'",
           "it was written by " + std::to_string(data.trainers) + " trainers",
           "restart with the same number of trainers");
  data.parameters = read_parameters(file, path);
  read_own(file, path, trainer, data);
  return data;
}

CheckpointData read_checkpoint(const std::string& path, ReplayMerge& merge) {
  const auto file = checkpoint::open(path);
  CheckpointData data;
  read_head(file, data);
  data.parameters = read_parameters(file, path);
  data.offsets = {0};
  for (int64_t trainer = 0; trainer < data.trainers; ++trainer) {
    CheckpointData old;
    read_own(file, path, trainer, old);
    for (const size_t i : merge.add(old.index)) {
      const auto first = old.records.begin() + old.offsets[i], last = old.records.begin() + old.offsets[i + 1];
      data.records.insert(data.records.end(), first, last);
      data.offsets.push_back(static_cast<int64_t>(data.records.size()));
    }
    add_up(old.sums, data.sums);
  }
  ReplayMerge::Result merged = merge.finish();
  arrange(merged, data.records, data.offsets);
  data.index = std::move(merged.index);
  data.left_out = merged.left_out;
  return data;
}

}  // namespace tightrope
