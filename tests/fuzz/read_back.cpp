#include <algorithm>
#include <filesystem>

#include "fuzz.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope::fuzz {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string made = (fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp") + std::string("/tightrope-fuzz-XXXXXX");
    require(mkdtemp(made.data()) != nullptr);
    name = made;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(name, ignored);
  }
  std::string name;
};

void check(const CheckpointData& data) {
  data.check_records();
  require(data.offsets.size() == data.index.entries.size() + 1);
  require(std::ranges::is_sorted(data.offsets) && data.offsets.front() == 0);
  require(data.offsets.back() == static_cast<int64_t>(data.packed().size()));
}

}  // namespace

const std::string& folder() {
  static const Folder made;
  return made.name;
}

void read_back() {
  for (int64_t trainer = 0; trainer < 2; ++trainer) {
    try {
      const CheckpointData data = read_checkpoint(checkpoint_path(), trainer);
      check(data);
      ReplayIndex(ReplayDeck(), 64).restore(data.index);
    } catch (const Failure&) {  // says what is wrong
    }
  }
  try {
    ReplayMerge merge(ReplayDeck(), 4, 0, 2, [](int64_t, int64_t id) { return id & 1; });
    check(read_checkpoint(checkpoint_path(), merge));
  } catch (const Failure&) {
  }
  try {
    find_checkpoint({folder()}, [](const std::string&) {});
  } catch (const Failure&) {  // the file of a newer program
  }
}

}  // namespace tightrope::fuzz
