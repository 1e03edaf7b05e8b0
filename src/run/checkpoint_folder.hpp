#pragma once
// Checkpoint files in their folder: names, durability, LATEST, what is kept.
#include <cstdint>
#include <string>

namespace tightrope::checkpoint {

std::string file_name(const std::string& folder, int64_t step);  // <folder>/checkpoint-<step>.h5
void sync_file(const std::string& path);                         // fsync, also of a folder; Failure where it fails

// Renames the finished draft to path, lets LATEST name it, and removes all but the `keep` written last.
void publish(const std::string& folder, const std::string& draft, const std::string& path, int64_t keep);

}  // namespace tightrope::checkpoint
