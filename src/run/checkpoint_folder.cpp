#include "checkpoint_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "checkpoint_format.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

constexpr const char* disk_advice = "check that the disk has room and that the folder is writable";

void rename_file(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  VALIDATE(!error, "cannot rename '" + from + "' to '" + to + "'", error.message(), disk_advice);
}

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
std::vector<fs::path> list(const std::string& folder) {
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

void remove_old(const std::string& folder, const std::string& newest, int64_t keep) {
  // By time of writing, not by step: a run that went back to an earlier step must not remove what it writes now.
  auto paths = list(folder);
  std::erase(paths, fs::path(newest));
  std::sort(paths.begin(), paths.end(),
            [](const fs::path& a, const fs::path& b) { return fs::last_write_time(a) > fs::last_write_time(b); });
  std::error_code ignored;  // what cannot be removed does no harm
  for (size_t i = static_cast<size_t>(std::max<int64_t>(keep, 1)) - 1; i < paths.size(); ++i) {
    fs::remove(paths[i], ignored);
  }
}

}  // namespace

namespace checkpoint {

std::string file_name(const std::string& folder, int64_t step) {
  return folder + "/checkpoint-" + std::to_string(step) + ".h5";
}

void sync_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = file >= 0 && ::fsync(file) == 0;
  const std::string why = good ? "" : std::strerror(errno);
  if (file >= 0) ::close(file);
  VALIDATE(good, "cannot bring '" + path + "' to the disk", why, disk_advice);
}

void publish(const std::string& folder, const std::string& draft, const std::string& path, int64_t keep) {
  rename_file(draft, path);
  sync_file(folder);
  const std::string latest = folder + "/LATEST";
  {
    std::ofstream text(latest + ".tmp");
    text << fs::path(path).filename().string() << "\n";
    text.close();
    VALIDATE(text.good(), "cannot write '" + latest + ".tmp'", std::strerror(errno), disk_advice);
  }
  sync_file(latest + ".tmp");
  rename_file(latest + ".tmp", latest);
  sync_file(folder);
  remove_old(folder, path, keep);
}

}  // namespace checkpoint

std::string find_checkpoint(const std::string& folder, const std::function<void(const std::string&)>& say) {
  auto paths = list(folder);
  std::string name;
  if (std::ifstream text(folder + "/LATEST"); std::getline(text, name)) {
    const fs::path latest = fs::path(folder) / name;
    if (std::erase(paths, latest) == 0) {
      say("LATEST in '" + folder + "' names '" + name + "', which is not there; looking for another checkpoint");
    } else {
      paths.insert(paths.begin(), latest);
    }
  }
  for (const auto& path : paths) {
    const std::string why = damage(path.string());
    if (why.empty()) return path.string();
    say("checkpoint '" + path.string() + "' is skipped (" + why + ")");
  }
  return "";
}

}  // namespace tightrope
