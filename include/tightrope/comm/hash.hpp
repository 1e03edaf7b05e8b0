#pragma once
// XXH3-64, compiled once for this machine's processor.
#include <cstddef>
#include <cstdint>
#include <span>

namespace tightrope {

uint64_t hash_bytes(std::span<const std::byte> bytes);

}  // namespace tightrope
