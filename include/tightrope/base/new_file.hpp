#pragma once
// NewFile: a file that appears whole or not at all.  Written as PATH.tmp; publish() brings it to the disk and gives it
// its name, replacing what had it.  Destroyed before that, it leaves nothing.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tightrope {

class NewFile {
 public:
  // All throw Failure with the path and the reason.
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::span<const std::byte> bytes);  // appends
  void publish();                                // once, the last call

 private:
  std::string path_, draft_;
  int file_ = -1;
};

void write_text_file(const std::string& path, std::string_view text);  // as a NewFile

// Has a file's bytes brought to the disk while more are being written: sync_to_disk then finds little left to wait for.
class WriteBack {
 public:
  explicit WriteBack(const std::string& path);  // of a file that is there; problems are for sync_to_disk to say
  ~WriteBack();
  WriteBack(const WriteBack&) = delete;
  WriteBack& operator=(const WriteBack&) = delete;

  void start(int64_t first, int64_t bytes);  // of what has been written; does not wait

 private:
  int file_ = -1;
};

// Waits until a file, or the names in a folder, are on the disk.
void sync_to_disk(const std::string& path);

}  // namespace tightrope
