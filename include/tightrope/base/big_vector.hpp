#pragma once
// BigVector: a vector for many megabytes.  From 1 MiB on it lies in huge pages where the kernel gives them: touching
// new memory in pages of 4 KiB takes longer than to fill it (2.2 us a page on a virtual machine).  Elements that are
// made without a value are left as they are (bytes, numbers) instead of being zeroed.
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace tightrope {

void* allocate_big(size_t bytes);  // throws std::bad_alloc
void release_big(void* memory, size_t bytes) noexcept;

template <class T>
struct BigAllocator {
  using value_type = T;
  BigAllocator() = default;
  template <class U>
  BigAllocator(const BigAllocator<U>& /*other*/) noexcept {}  // NOLINT: containers convert allocators
  T* allocate(size_t count) { return static_cast<T*>(allocate_big(count * sizeof(T))); }
  void deallocate(T* memory, size_t count) noexcept { release_big(memory, count * sizeof(T)); }
  template <class U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Values>
  void construct(U* at, Values&&... values) {
    ::new (static_cast<void*>(at)) U(std::forward<Values>(values)...);
  }
  template <class U>
  bool operator==(const BigAllocator<U>& /*other*/) const noexcept {
    return true;
  }
};

template <class T>
using BigVector = std::vector<T, BigAllocator<T>>;

}  // namespace tightrope
