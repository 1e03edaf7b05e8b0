#include "listing.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"
#include "tightrope/base/json.hpp"

namespace tightrope::inspect {
namespace {

constexpr int deepest = 16;  // a damaged file may hold a group that holds itself

void walk(const h5::File& file, const std::string& group, int depth, std::vector<std::string>& groups,
          std::vector<std::string>& datasets) {
  VALIDATE(depth <= deepest, "cannot list '" + group + "'", "groups are nested deeper than " + std::to_string(deepest),
           "restore the file or choose another one");
  groups.push_back(group);
  for (const std::string& name : file.members(group)) {
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    if (file.is_group(path)) {
      walk(file, path, depth + 1, groups, datasets);
    } else {
      datasets.push_back(path);
    }
  }
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

// "name        value", further lines of the value below its first.
std::string named(const std::string& name, const std::string& value) {
  constexpr size_t width = 16;
  std::string line = padded(name, width);
  for (const char c : value) line += c == '\n' ? "\n" + std::string(width, ' ') : std::string(1, c);
  return line + "\n";
}

size_t keys_of(const std::string& deck) { return static_cast<size_t>(std::ranges::count(deck, '=')); }

std::string root_text(const h5::File& file, bool deck) {
  std::string text;
  std::vector<std::string> names = file.attribute_names("/");
  const auto place = [](const std::string& name) {
    constexpr std::array first = {"format", "format_version", "step", "task", "ranks", "trainers", "searchers"};
    return std::ranges::find(first, name) - first.begin();
  };
  std::ranges::stable_sort(names, {}, place);
  for (const std::string& name : names) {
    const std::string value = file.attribute_as_text("/", name);
    const bool cut = name == "deck" && !deck;
    text += named(name, cut ? std::to_string(keys_of(value)) + " keys (--deck prints them)" : value);
  }
  return text;
}

// Of a parameter set: how many tensors, how many values.
std::string table_text(const std::string& table, const std::string& group) {
  const auto rows = parse_json(table, group);
  VALIDATE(rows.is_array(), "the parameter table of '" + group + "' is damaged", "it is no list", "see --deck");
  return std::to_string(rows.size()) + " tensors";
}

std::string groups_text(const h5::File& file, const std::vector<std::string>& groups) {
  std::string text;
  for (const std::string& group : groups) {
    std::string values;
    for (const std::string& name : file.attribute_names(group)) {
      const std::string value = file.attribute_as_text(group, name);
      values += (values.empty() ? "" : ", ") + name + " " + (name == "table" ? table_text(value, group) : value);
    }
    if (group != "/" && !values.empty()) text += named(group, values);
  }
  return text;
}

// Rows and columns of the groups that hold growing tables.  Columns of a run that still writes, or was killed, may
// differ by a row.
std::string tables_text(const h5::File& file, const std::vector<std::string>& groups) {
  std::string text;
  for (const std::string& group : groups) {
    int64_t columns = 0, least = std::numeric_limits<int64_t>::max(), most = 0;
    for (const std::string& name : file.members(group)) {
      const std::string path = group + "/" + name;
      if (group == "/" || file.is_group(path) || file.has_attribute(path, "slabs")) continue;
      const int64_t rows = file.length(path);
      ++columns, least = std::min(least, rows), most = std::max(most, rows);
    }
    if (columns == 0) continue;
    const std::string rows = std::to_string(least) + (most > least ? " to " + std::to_string(most) : "");
    text += named(group, rows + " rows, " + std::to_string(columns) + " columns");
  }
  return text;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// "ok", "-" where there are no checksums, or "damaged": then `damage` gets a sentence.
std::string verdict(const h5::File& file, const std::string& path, std::vector<std::string>& damage) {
  if (!file.has_attribute(path, "xxh3")) return "-";
  try {
    const auto slabs = static_cast<int64_t>(file.slabs(path).size());
    for (int64_t slab = 0; slab < slabs; ++slab) file.verify_slab(path, slab);
    return "ok";
  } catch (const Failure& failure) {
    damage.emplace_back(failure.what());
    return "damaged";
  }
}

}  // namespace

std::vector<std::string> groups(const h5::File& file) {
  std::vector<std::string> found, others;
  walk(file, "/", 0, found, others);
  return found;
}

std::vector<std::string> datasets(const h5::File& file) {
  std::vector<std::string> others, found;
  walk(file, "/", 0, others, found);
  return found;
}

Listing list(const h5::File& file, bool deck) {
  Listing listing;
  const auto all = groups(file);
  listing.text = root_text(file, deck) + groups_text(file, all) + tables_text(file, all);
  std::vector<std::array<std::string, 5>> rows = {{"dataset", "type", "values", "slabs", "checksum"}};
  for (const std::string& path : datasets(file)) {
    const bool whole = file.has_attribute(path, "slabs");
    rows.push_back({path, file.type_name(path), shape_text(file.shape(path)),
                    whole ? file.attribute_as_text(path, "slabs") : "-", verdict(file, path, listing.damage)});
  }
  std::array<size_t, 5> widths{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  listing.text += "\n";
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) listing.text += padded(row[i], widths[i] + 2);
    listing.text += row.back() + "\n";
  }
  return listing;
}

}  // namespace tightrope::inspect
