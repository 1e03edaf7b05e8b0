#pragma once
// NewFile: a file that appears whole or not at all.  Written as PATH.tmp; publish() brings it to the disk and gives it
// its name, replacing what had it.  Destroyed before that, it leaves nothing.
#include <cstddef>
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

// Waits until a file, or the names in a folder, are on the disk.
void sync_to_disk(const std::string& path);

}  // namespace tightrope
