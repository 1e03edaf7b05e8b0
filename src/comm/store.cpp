#include "tightrope/comm/store.hpp"

namespace tightrope::store {

uint64_t checksum(const SlotHeader& header, uint64_t payload_hash) {
  const uint64_t words[3] = {header.ticket, header.length, payload_hash};
  return hash_bytes(std::as_bytes(std::span(words)));
}

void write(std::byte* slot, uint64_t ticket, std::span<const std::byte> payload, uint64_t payload_hash) {
  const uint64_t stamp = lane::load(slot);
  lane::store(slot, stamp + 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // odd before the first byte
  SlotHeader header{stamp + 1, ticket, payload.size(), 0};
  header.checksum = checksum(header, payload_hash);
  constexpr size_t after_stamp = sizeof header.stamp;
  std::memcpy(slot + after_stamp, reinterpret_cast<const std::byte*>(&header) + after_stamp,
              sizeof header - after_stamp);
  if (!payload.empty()) std::memcpy(slot + sizeof header, payload.data(), payload.size());
  lane::store(slot, stamp + 2);  // release: after the last byte
}

}  // namespace tightrope::store
