#pragma once
#include <cstdint>

namespace tightrope {

// Values of a flat buffer that follow one another.
struct Extent {
  int64_t offset = 0, size = 0;
  int64_t end() const { return offset + size; }
};

}  // namespace tightrope
