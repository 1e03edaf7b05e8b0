#pragma once
// What the fuzz targets share.  A target runs its code on any bytes: it may answer or throw the one exception that the
// header promises; whatever else happens (another exception, a sanitizer's report, a broken promise) is a finding.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tightrope::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A folder in memory, removed at exit; one per process.
const std::string& folder();

// Reads folder()/checkpoint-1.h5 in every way that a restart does.
void read_back();
inline std::string checkpoint_path() { return folder() + "/checkpoint-1.h5"; }

}  // namespace tightrope::fuzz
