#pragma once
// Checkpoint files in their folder: names, durability, LATEST, what is kept.
#include <cstdint>
#include <string>

namespace tightrope::checkpoint {

std::string file_name(const std::string& folder, int64_t step);  // <folder>/checkpoint-<step>.h5

// Renames the finished draft to path, lets LATEST beside it name it, and removes what need not be kept: all but the
// `keep` written last and, with keep_every, the first of each span of so many updates; and drafts that a kill left.
void publish(const std::string& draft, const std::string& path, int64_t keep, int64_t keep_every);

// The same for a copy of the finished checkpoint `from`, which stays.
void drain(const std::string& from, const std::string& path, int64_t keep, int64_t keep_every);

}  // namespace tightrope::checkpoint
