#pragma once
// Store slots: written by their owner in its own memory, read by any rank by get.  Internal to ReplayWindow; a header
// of its own so that the tests can run the same reader with a check removed.
// A seqlock (stamp odd, bytes, stamp even; the reader looks at the stamp before and after) and XXH3-64 over ticket,
// length and payload: the stamp alone is not enough, as nothing orders the bytes inside one get.
#include "tightrope/comm/lane.hpp"

namespace tightrope::store {

struct SlotHeader {
  uint64_t stamp;  // odd: being written; 0: never written; grows by 2
  uint64_t ticket;
  uint64_t length;    // of the payload, bytes
  uint64_t checksum;  // over ticket, length and the payload's hash
};

uint64_t checksum(const SlotHeader& header, uint64_t payload_hash);

// `slot` points at the header in the owner's own memory.
void write(std::byte* slot, uint64_t ticket, std::span<const std::byte> payload, uint64_t payload_hash);

// False where the slot holds another ticket, is being rewritten, or fails a check.
template <class Checks = AllChecks>
bool read(mpi::Window& window, int target, int64_t offset, int64_t record_bytes, uint64_t ticket,
          std::vector<std::byte>& payload) {
  SlotHeader header;
  window.get(target, offset, std::as_writable_bytes(std::span(&header, 1)));
  window.flush(target);
  if (header.stamp == 0 || header.stamp % 2 == 1 || header.ticket != ticket) return false;
  if (header.length > static_cast<uint64_t>(record_bytes)) return false;
  payload.resize(header.length);
  Checks::pause();
  window.get(target, offset + static_cast<int64_t>(sizeof header), payload);
  window.flush(target);
  std::atomic_thread_fence(std::memory_order_acquire);
  if constexpr (Checks::recheck) {
    uint64_t stamp = 0;
    window.get(target, offset, std::as_writable_bytes(std::span(&stamp, 1)));
    window.flush(target);
    if (stamp != header.stamp) return false;
  }
  if constexpr (Checks::checksum) {
    return checksum(header, hash_bytes(payload)) == header.checksum;
  }
  return true;
}

}  // namespace tightrope::store
