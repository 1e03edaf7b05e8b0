#include "checkpoint_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "checkpoint_format.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/mapped_file.hpp"
#include "tightrope/base/new_file.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

constexpr const char* draft_ending = ".tmp";

// The step in checkpoint-<step>.h5, or nothing for any other name.
std::optional<int64_t> step_of(const fs::path& path) {
  const std::string name = path.filename().string(), head = "checkpoint-", tail = ".h5";
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail)) return {};
  const std::string digits = name.substr(head.size(), name.size() - head.size() - tail.size());
  if (digits.size() > 18 || !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return {};
  }
  return std::stoll(digits);
}

// All checkpoints of a folder, highest step first.
std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (step_of(entry.path())) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end(),
            [](const fs::path& a, const fs::path& b) { return step_of(a).value() > step_of(b).value(); });
  return paths;
}

// Why a restart cannot use it, or "".  A file of a newer program is no damage: that throws.
std::string damage(const std::string& path) {
  try {
    const auto file = h5::File::open(path);
    if (file.integer_attribute("/", "format_version") <= checkpoint::format_version) {
      for (const auto& dataset : checkpoint::datasets(checkpoint::open(path), "/")) {
        const auto slabs = static_cast<int64_t>(file.slabs(dataset).size());
        for (int64_t slab = 0; slab < slabs; ++slab) file.verify_slab(dataset, slab);
      }
      return "";
    }
  } catch (const Failure& failure) {
    return failure.what();
  }
  checkpoint::open(path);
  return "";
}

// What of the folder is kept for good: of each span of `every` updates but the first, the lowest step.
std::vector<fs::path> kept_for_good(const std::vector<fs::path>& highest_first, int64_t every) {
  std::map<int64_t, fs::path> first_of;
  for (const auto& path : highest_first) {
    if (every > 0 && *step_of(path) >= every) first_of[*step_of(path) / every] = path;
  }
  std::vector<fs::path> kept;
  for (const auto& [span, path] : first_of) kept.push_back(path);
  return kept;
}

void remove_old(const fs::path& newest, int64_t keep, int64_t keep_every) {
  std::error_code ignored;  // what cannot be removed does no harm
  auto paths = list(newest.parent_path());
  const auto kept = kept_for_good(paths, keep_every);
  // By time of writing, not by step: a run that went back to an earlier step must not remove what it writes now.
  std::erase(paths, newest);
  std::sort(paths.begin(), paths.end(), [](const fs::path& a, const fs::path& b) {
    std::error_code gone;
    return fs::last_write_time(a, gone) > fs::last_write_time(b, gone);
  });
  for (size_t i = static_cast<size_t>(std::max<int64_t>(keep, 1)) - 1; i < paths.size(); ++i) {
    if (std::find(kept.begin(), kept.end(), paths[i]) == kept.end()) fs::remove(paths[i], ignored);
  }
  for (const auto& entry : fs::directory_iterator(newest.parent_path(), ignored)) {
    const fs::path& path = entry.path();
    if (path.extension() == draft_ending && step_of(path.stem())) fs::remove(path, ignored);
  }
}

void name_as_latest(const fs::path& path) {
  write_text_file((path.parent_path() / "LATEST").string(), path.filename().string() + "\n");
}

// What LATEST of the folder names, and when it was written.
struct Latest {
  fs::path path;
  fs::file_time_type written;
};

std::optional<Latest> latest_of(const fs::path& folder, const std::function<void(const std::string&)>& say) {
  std::ifstream text(folder / "LATEST");
  std::string name;
  if (!std::getline(text, name)) return {};
  std::error_code error;
  const fs::path path = folder / name;
  if (step_of(path) && fs::exists(path, error)) return Latest{path, fs::last_write_time(folder / "LATEST", error)};
  say("LATEST in '" + folder.string() + "' names '" + name + "', which is not there; looking for another checkpoint");
  return {};
}

}  // namespace

namespace checkpoint {

std::string file_name(const std::string& folder, int64_t step) {
  return folder + "/checkpoint-" + std::to_string(step) + ".h5";
}

void publish(const std::string& draft, const std::string& path, int64_t keep, int64_t keep_every) {
  std::error_code error;
  fs::rename(draft, path, error);
  VALIDATE(!error, "cannot rename '" + draft + "' to '" + path + "'", error.message(),
           "check that the disk has room and that the folder is writable");
  sync_to_disk(fs::path(path).parent_path().string());
  name_as_latest(path);
  remove_old(path, keep, keep_every);
}

void drain(const std::string& from, const std::string& path, int64_t keep, int64_t keep_every) {
  {
    const MappedFile file(from);
    NewFile copy(path);
    copy.write(file.bytes());
    copy.publish();
  }
  const std::string why = damage(path);
  VALIDATE(why.empty(), "checkpoint '" + path + "' could not be read back", why,
           "check the disk; '" + from + "' and the checkpoints before it are untouched");
  name_as_latest(path);
  remove_old(path, keep, keep_every);
}

}  // namespace checkpoint

std::string find_checkpoint(const std::vector<std::string>& folders,
                            const std::function<void(const std::string&)>& say) {
  std::vector<Latest> latest;
  std::vector<fs::path> paths, others;
  for (const std::string& folder : folders) {
    if (folder.empty()) continue;
    if (auto found = latest_of(folder, say)) latest.push_back(*std::move(found));
    const auto all = list(folder);
    others.insert(others.end(), all.begin(), all.end());
  }
  std::ranges::stable_sort(latest, std::ranges::greater(), &Latest::written);
  for (const Latest& one : latest) paths.push_back(one.path);
  std::ranges::stable_sort(others, std::ranges::greater(), [](const fs::path& path) { return *step_of(path); });
  for (const fs::path& path : others) {
    if (std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
  }
  for (const auto& path : paths) {
    const std::string why = damage(path.string());
    if (why.empty()) return path.string();
    say("checkpoint '" + path.string() + "' is skipped (" + why + ")");
  }
  return "";
}

}  // namespace tightrope
