#include "tightrope/base/new_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr const char* advice = "check that the disk has room and that the folder is writable";

std::string problem(const std::string& path) { return "cannot write '" + path + "'"; }

}  // namespace

NewFile::NewFile(const std::string& path)
    : path_(path),
      draft_(path + ".tmp"),
      file_(::open(draft_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  VALIDATE(file_ >= 0, problem(draft_), std::strerror(errno), advice);
}

NewFile::~NewFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(draft_.c_str());
}

void NewFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    VALIDATE(written > 0, problem(draft_), std::strerror(errno), advice);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void NewFile::publish() {
  VALIDATE(::fsync(file_) == 0, problem(draft_), std::strerror(errno), advice);
  VALIDATE(std::rename(draft_.c_str(), path_.c_str()) == 0, problem(path_), std::strerror(errno), advice);
  ::close(file_);  // after fsync it has nothing left to report
  file_ = -1;
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  sync_to_disk(folder.empty() ? "." : folder.string());
}

void write_text_file(const std::string& path, std::string_view text) {
  NewFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.publish();
}

WriteBack::WriteBack(const std::string& path) : file_(::open(path.c_str(), O_WRONLY | O_CLOEXEC)) {}

WriteBack::~WriteBack() {
  if (file_ >= 0) ::close(file_);
}

void WriteBack::start(int64_t first, int64_t bytes) {
  if (file_ >= 0) ::sync_file_range(file_, first, bytes, SYNC_FILE_RANGE_WRITE);
}

void sync_to_disk(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = file >= 0 && ::fsync(file) == 0;
  const std::string why = good ? "" : std::strerror(errno);
  if (file >= 0) ::close(file);
  VALIDATE(good, "cannot bring '" + path + "' to the disk", why, advice);
}

}  // namespace tightrope
