// Records of two checkpoints as multisets: what was sampled and is kept, wherever it lies.
#include <xxhash.h>

#include <cstring>
#include <map>

#include "difference.hpp"
#include "listing.hpp"
#include "values.hpp"

namespace tightrope::inspect {
namespace {

constexpr const char *bytes_path = "/store/records", *sizes_path = "/store/record_bytes";
constexpr size_t most_shown = 5;

bool has_records(const h5::File& file) { return file.has(bytes_path) && file.has(sizes_path); }

// Columns that say where a record lies.
bool of_place(const std::string& path) { return path == "/index/slot" || path == "/index/ticket"; }

// A column of /index as bytes.
struct Column {
  std::string path;
  size_t stride = 0;  // bytes per record
  std::vector<char> bytes;
};

// Those that both files have, but for the place.
std::vector<Column> columns_of(const h5::File& file, const h5::File& other) {
  std::vector<Column> columns;
  for (const std::string& path : datasets(file)) {
    if (!path.starts_with("/index/") || !of_records(file, path) || of_place(path) || !other.has(path)) continue;
    columns.push_back(with_values(file, path, [&]<class T>(const std::vector<T>& values) {
      const auto* const first = reinterpret_cast<const char*>(values.data());
      return Column{path, sizeof(T), {first, first + values.size() * sizeof(T)}};
    }));
  }
  return columns;
}

// "query 3, id 17, version 120" of record i.
std::string about(const std::vector<Column>& columns, size_t i) {
  std::string text;
  for (const char* const name : {"query", "id", "version"}) {
    for (const Column& column : columns) {
      if (column.path != std::string("/index/") + name || column.stride != sizeof(int64_t)) continue;
      int64_t value = 0;
      std::memcpy(&value, column.bytes.data() + i * sizeof value, sizeof value);
      text += (text.empty() ? "" : ", ") + std::string(name) + " " + std::to_string(value);
    }
  }
  return text;
}

struct Records {
  std::map<XXH64_hash_t, std::vector<size_t>> by_content;
  std::vector<Column> columns;
};

// What a record is: its bytes and its columns.
Records read_records(const h5::File& file, const h5::File& other) {
  const auto bytes = file.read<uint8_t>(bytes_path);
  const auto sizes = file.read<int64_t>(sizes_path);
  Records records{{}, columns_of(file, other)};
  size_t first = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto size = static_cast<size_t>(sizes[i]);
    VALIDATE(sizes[i] >= 0 && size <= bytes.size() - first, "cannot compare records",
             "dataset '" + std::string(sizes_path) + "' does not fit '" + bytes_path + "'",
             "choose another checkpoint");
    XXH64_hash_t hash = XXH3_64bits(bytes.data() + first, size);
    for (const Column& column : records.columns) {
      hash = XXH3_64bits_withSeed(column.bytes.data() + i * column.stride, column.stride, hash);
    }
    records.by_content[hash].push_back(i);
    first += size;
  }
  return records;
}

// Those of `here` that `there` has not as often.
std::vector<size_t> without(const Records& here, const Records& there) {
  std::vector<size_t> left;
  for (const auto& [hash, rows] : here.by_content) {
    const auto found = there.by_content.find(hash);
    const size_t equal = found == there.by_content.end() ? 0 : found->second.size();
    if (rows.size() > equal) left.insert(left.end(), rows.begin() + static_cast<std::ptrdiff_t>(equal), rows.end());
  }
  return left;
}

}  // namespace

bool of_records(const h5::File& file, const std::string& path) {
  if (!has_records(file)) return false;
  const bool column = path.starts_with("/index/") && file.length(path) == file.length(sizes_path);
  return column || path == bytes_path || path == sizes_path;
}

std::vector<std::string> record_differences(const h5::File& a, const h5::File& b) {
  if (!has_records(a) || !has_records(b)) return {};
  const Records first = read_records(a, b), second = read_records(b, a);
  std::vector<std::string> lines;
  const auto say = [&](const Records& here, const Records& there, const std::string& where) {
    const auto rows = without(here, there);
    if (rows.empty()) return;
    lines.push_back("records: " + std::to_string(rows.size()) + " only in the " + where);
    for (size_t i = 0; i < std::min(rows.size(), most_shown); ++i) {
      lines.push_back("  " + about(here.columns, rows[i]));
    }
  };
  say(first, second, "first");
  say(second, first, "second");
  return lines;
}

}  // namespace tightrope::inspect
