#include "tightrope/base/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr size_t piece_bytes = size_t{2} << 20;  // fetched at once

struct Descriptor {
  explicit Descriptor(const std::string& path) : value(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int value;
};

// False where touching these bytes would be a SIGBUS.
bool populate([[maybe_unused]] std::span<const std::byte> some) {
#ifdef MADV_POPULATE_READ
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  if (some.empty()) return true;
  const auto before = reinterpret_cast<uintptr_t>(some.data()) % page;
  void* const first = const_cast<std::byte*>(some.data() - before);
  if (::madvise(first, some.size() + before, MADV_POPULATE_READ) != 0) return errno != EFAULT && errno != EHWPOISON;
#endif
  return true;
}

std::string problem(const std::string& path) { return "cannot read '" + path + "'"; }

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file(path);
  VALIDATE(file.value >= 0, problem(path), std::strerror(errno), "check the path and its permissions");
  struct stat status = {};
  VALIDATE(::fstat(file.value, &status) == 0, problem(path), std::strerror(errno), "check the file system");
  VALIDATE(S_ISREG(status.st_mode), problem(path), "it is not a regular file", "give a file");
  if (status.st_size == 0) return;  // mmap refuses an empty range
  const auto size = static_cast<size_t>(status.st_size);
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  VALIDATE(memory != MAP_FAILED, problem(path), std::string("mmap: ") + std::strerror(errno),
           "check the limit on address space (ulimit -v)");
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::~MappedFile() {
  ahead_ = {};  // stops
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})), ahead_(std::move(other.ahead_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(ahead_, other.ahead_);
  return *this;
}

void MappedFile::expect_all() const {
  void* const first = const_cast<std::byte*>(bytes_.data());
  ::madvise(first, bytes_.size(), MADV_SEQUENTIAL);  // wishes, both
  ::madvise(first, bytes_.size(), MADV_HUGEPAGE);
}

void MappedFile::fetch(std::span<const std::byte> some) const {
  VALIDATE(populate(some), problem(path_), "the disk does not give all of its bytes",
           "restore it or choose another file");
}

void MappedFile::fetch_ahead(std::vector<std::span<const std::byte>> pieces) {
  ahead_ = std::jthread([pieces = std::move(pieces)](const std::stop_token& stop) {
    for (const auto& piece : pieces) {
      for (auto left = piece; !left.empty(); left = left.subspan(std::min(piece_bytes, left.size()))) {
        if (stop.stop_requested() || !populate(left.first(std::min(piece_bytes, left.size())))) return;
      }
    }
  });
}

void read_ahead(const std::string& path, int64_t first, int64_t bytes) {
  if (bytes == 0) return;  // which the kernel takes for all
  const Descriptor file(path);
  if (file.value >= 0) ::posix_fadvise(file.value, first, bytes, POSIX_FADV_WILLNEED);
}

std::string read_text_file(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace tightrope
