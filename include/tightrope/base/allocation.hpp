#pragma once
// How the C library gets memory from the system.
#include <malloc.h>

namespace tightrope {

// Buffers of a few megabytes come and go at every update: kept, they cost no page faults.
inline void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

}  // namespace tightrope
