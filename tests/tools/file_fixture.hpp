#pragma once
// What tests of files on several ranks share: a common folder, messages of failures, a limit that stands for a full
// disk.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tightrope/base/check.hpp"
#include "tightrope/base/mpi.hpp"

namespace tightrope {

// One folder for all ranks, removed by rank 0 at the end.
class SharedFolder : public testing::Test {
 protected:
  void SetUp() override {
    if (world_.rank() == 0) {
      char name[] = "/tmp/tightrope-files-XXXXXX";
      folder_ = mkdtemp(name);
    }
    folder_ = world_.broadcast(folder_, 0);
  }
  void TearDown() override {
    world_.barrier();
    if (world_.rank() == 0) std::filesystem::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string own(const std::string& name) const { return path(std::to_string(world_.rank()) + name); }

  mpi::Comm world_ = mpi::Comm::world();
  std::string folder_;
};

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "no failure";
}

inline testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

// Changes one bit of the first byte of `mark` in the file.
inline void damage_at(const std::string& file, const std::string& mark) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(stream)), {});
  const auto at = all.find(mark);
  ASSERT_NE(at, std::string::npos);
  stream.clear();
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(static_cast<char>(all[at] ^ 1));
}

// A limit on the size of a file stands for a full disk: the system call writes less than asked, then fails.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

}  // namespace tightrope
