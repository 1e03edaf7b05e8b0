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

// Where a store lies in a file.  Columns: those of index_columns(), then ticket, content and log_reward.
struct StoredStore {
  h5::MappedSlab sizes, records;
  std::vector<h5::MappedSlab> columns;
};

StoredStore map_store(const h5::File& file, int64_t trainer) {
  StoredStore store;
  store.sizes = file.map_slab<int64_t>("/store/record_bytes", trainer);
  for (const auto& row : checkpoint::index_columns()) {
    store.columns.push_back(file.map_slab<int64_t>(std::string("/index/") + row.name, trainer));
  }
  store.columns.push_back(file.map_slab<uint64_t>("/index/ticket", trainer));
  store.columns.push_back(file.map_slab<uint64_t>("/index/content", trainer));
  store.columns.push_back(file.map_slab<double>("/index/log_reward", trainer));
  store.records = file.map_slab<std::byte>("/store/records", trainer);
  std::vector<h5::MappedSlab> order = {store.sizes};
  order.insert(order.end(), store.columns.begin(), store.columns.end());
  order.push_back(store.records);
  file.read_ahead(order);
  return store;
}

// Takes its memory while the file is read.
BigVector<IndexEntry> read_entries(std::span<const h5::MappedSlab> columns, size_t rows) {
  BigVector<IndexEntry> entries(rows);
  for (const h5::MappedSlab& column : columns) {
    column.verify();
    VALIDATE(
        column.size<int64_t>() == rows, "the index of the checkpoint does not fit its store",
        column.where + " has " + std::to_string(column.size<int64_t>()) + " rows and the store " + std::to_string(rows),
        "choose another checkpoint");
  }
  const auto table = checkpoint::index_columns();
  const auto others = columns.subspan(table.size());
  for (size_t i = 0; i < rows; ++i) {
    IndexEntry& entry = entries[i];
    for (size_t c = 0; c < table.size(); ++c) entry.*table[c].field = columns[c].at<int64_t>(i);
    entry.ticket = others[0].at<uint64_t>(i);
    entry.content = others[1].at<uint64_t>(i);
    entry.log_reward = others[2].at<double>(i);
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
  StoredStore store = map_store(file, trainer);
  store.sizes.verify();
  const size_t rows = store.sizes.size<int64_t>();
  data.index.entries = read_entries(store.columns, rows);
  data.stored = std::move(store.records);
  data.offsets.reserve(rows + 1);
  data.offsets = {0};
  auto left = static_cast<int64_t>(data.packed().size());
  for (size_t i = 0; i < rows; ++i) {
    const auto size = store.sizes.at<int64_t>(i);
    left = size >= 0 && size <= left ? left - size : -1;
    data.offsets.push_back(data.offsets.back() + (left >= 0 ? size : 0));
  }
  VALIDATE(left == 0, "the store in '" + path + "' does not fit its records",
           "dataset '/store/record_bytes' does not add up to the " + std::to_string(data.packed().size()) +
               " bytes of '/store/records'",
           "choose another checkpoint");
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
    old.check_records();
    for (const size_t i : merge.add(old.index)) {
      const auto record = old.record(i);
      data.records.insert(data.records.end(), record.begin(), record.end());
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
