#pragma once
// MappedFile: a file's bytes as read-only memory.  Pages are read when touched, and shared by every process of a node
// that maps the same file.  Nobody may shorten the file while it is mapped: the kernel ends a process that touches a
// page behind the end (SIGBUS).
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace tightrope {

class MappedFile {
 public:
  // Throws Failure with the path and the reason: not there, not readable, not a regular file.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }  // begins at a page; empty for an empty file
  void expect_all() const;                                     // tells the kernel to read, and map, in large pieces
  // Has these bytes of the file read, if they are not in memory: touching them then costs little, and what the disk
  // cannot give is a Failure instead of a SIGBUS (Linux 5.14; before, it does nothing).
  void fetch(std::span<const std::byte> some) const;
  // The same of all of these, in this order, by a thread of its own; what the disk cannot give it leaves to fetch().
  void fetch_ahead(std::vector<std::span<const std::byte>> pieces);

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
  std::jthread ahead_;
};

// Tells the kernel that these bytes of a file are read soon: the disk works while the program does.  Never fails.
void read_ahead(const std::string& path, int64_t first, int64_t bytes);

// The whole of a small file.  Throws as MappedFile.
std::string read_text_file(const std::string& path);

}  // namespace tightrope
