#include "tightrope/base/big_vector.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <limits>

namespace tightrope {
namespace {

constexpr size_t huge_page = 2 << 20, big = 1 << 20;

}  // namespace

void* allocate_big(size_t bytes) {
  if (bytes < big) return ::operator new(bytes);
  if (bytes > std::numeric_limits<size_t>::max() - huge_page) throw std::bad_alloc();
  const size_t whole = (bytes + huge_page - 1) / huge_page * huge_page;
  void* memory = std::aligned_alloc(huge_page, whole);
  if (memory == nullptr) throw std::bad_alloc();
  ::madvise(memory, whole, MADV_HUGEPAGE);  // a wish
  return memory;
}

void release_big(void* memory, size_t bytes) noexcept {
  if (bytes < big) {
    ::operator delete(memory);
  } else {
    std::free(memory);
  }
}

}  // namespace tightrope
