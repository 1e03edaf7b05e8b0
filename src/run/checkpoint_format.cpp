#include "checkpoint_format.hpp"

#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"

namespace tightrope::checkpoint {
namespace {

constexpr IndexColumn columns[] = {
    {"slot", &IndexEntry::slot, "1", "of the store"},
    {"query", &IndexEntry::query, "1", "condition id"},
    {"id", &IndexEntry::id, "1", "hash of (query, visit, k): names the sample"},
    {"version", &IndexEntry::version, "updates", "of the weights that made it"},
    {"length", &IndexEntry::length, "transitions", "of the trajectory"},
    {"uses", &IndexEntry::uses, "draws", "times drawn"},
};

}  // namespace

std::span<const IndexColumn> index_columns() { return columns; }

std::string rows_as_json(const std::vector<SavedParameters::Row>& rows) {
  auto list = nlohmann::json::array();
  for (const auto& row : rows) {
    list.push_back({{"name", row.name}, {"group", row.group}, {"shape", row.shape}, {"offset", row.offset}});
  }
  return list.dump();
}

std::vector<SavedParameters::Row> rows_from_json(const std::string& text, const std::string& where) {
  std::vector<SavedParameters::Row> rows;
  try {
    for (const auto& item : nlohmann::json::parse(text)) {
      rows.push_back({item.at("name").get<std::string>(), item.at("group").get<std::string>(),
                      item.at("shape").get<std::vector<int64_t>>(), item.at("offset").get<int64_t>()});
    }
  } catch (const nlohmann::json::exception& error) {
    throw Failure("cannot read the parameter table of " + where, error.what(), "choose another checkpoint");
  }
  return rows;
}

h5::File open(const std::string& path) {
  auto file = h5::File::open(path);
  const std::string problem = "cannot restart from '" + path + "'";
  VALIDATE(file.has_attribute("/", "format") && file.text_attribute("/", "format") == format_name, problem,
           "it is not a checkpoint of tightrope", "give --run.restart a file named checkpoint-<step>.h5");
  const int64_t version = file.integer_attribute("/", "format_version");
  VALIDATE(version <= format_version, problem,
           "its format version is " + std::to_string(version) + ", and this program reads up to version " +
               std::to_string(format_version),
           "use the program that wrote it, or a newer one");
  return file;
}

std::vector<std::string> datasets(const h5::File& file, const std::string& group) {
  std::vector<std::string> paths;
  for (const std::string& name : file.members(group)) {
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    if (file.has_attribute(path, "slabs")) {
      paths.push_back(path);
      continue;
    }
    const auto below = datasets(file, path);
    paths.insert(paths.end(), below.begin(), below.end());
  }
  return paths;
}

}  // namespace tightrope::checkpoint
