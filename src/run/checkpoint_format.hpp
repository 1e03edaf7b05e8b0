#pragma once
// What writing, reading and finding checkpoints share: names of the format and of the index's columns.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/hdf5.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope::checkpoint {

constexpr const char* format_name = "tightrope-checkpoint";
constexpr int64_t format_version = 1;

// One integer column of /index.
struct IndexColumn {
  const char* name;
  int64_t IndexEntry::*field;
  const char* unit;
  const char* help;
};
std::span<const IndexColumn> index_columns();

// The two fields that are no int64.
constexpr const char* content_help = "hash of (query, actions, values): equal for equal trajectories";
constexpr const char* ticket_help = "unique in its store, ascending";
constexpr const char* log_reward_help = "log R";

std::string rows_as_json(const std::vector<SavedParameters::Row>& rows);
// Throws Failure that names `where`.
std::vector<SavedParameters::Row> rows_from_json(const std::string& text, const std::string& where);

// Opens a checkpoint of this format; Failure where it is another file or from a newer program.
h5::File open(const std::string& path);
// The path of every dataset below `group`.
std::vector<std::string> datasets(const h5::File& file, const std::string& group);

}  // namespace tightrope::checkpoint
