#pragma once
// Lane: a byte ring in a trainer's window part with one writer (a searcher, by put) and one reader (that trainer, by
// loads from its own memory).  Internal to ReplayWindow; a header of its own so that the tests can run the same
// reader with a check removed and show that the check is needed.
//
//   writer   reserved := end | flush | records | flush | committed := end | flush
//   reader   words | copy of a record | `reserved` again | checksum
//
// Positions count bytes since the start of the run, only grow, and always stand on record boundaries; a record never
// wraps: a pad record fills the rest of the ring.  `mark` is a record boundary at most half a ring behind
// `committed`, where an overtaken reader goes on: at `committed` itself a reader whose visits are rarer than laps
// would find nothing for ever.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/base/mpi.hpp"
#include "tightrope/comm/hash.hpp"

namespace tightrope {

enum class RecordKind : uint32_t { pad = 0, trajectory = 1, phase_end = 2 };

struct OutgoingRecord {
  RecordKind kind = RecordKind::trajectory;
  int64_t version = 0;
  std::span<const std::byte> payload;
};

struct LaneRecord {
  RecordKind kind;
  uint64_t ticket;  // of this lane, from 0, without gaps
  int64_t version;
  std::span<const std::byte> payload;  // valid until the callback returns
  uint64_t payload_hash;               // XXH3-64 that the searcher made and the reader verified
};

struct LaneCounts {
  uint64_t records = 0;   // delivered
  uint64_t skipped = 0;   // tickets lost to overtaking, counted when the next record arrives
  uint64_t rejected = 0;  // copies that failed their check and were read again
};

// Where a lane lies in its window part.  The control words stand in two cache lines, one per side that writes.
struct LaneLayout {
  int64_t offset = 0;        // bytes from the start of the part to the control words
  int64_t ring_offset = 0;   // bytes from the start of the part to the ring
  int64_t ring_bytes = 0;    // a multiple of record_alignment, at least four longest records
  int64_t record_bytes = 0;  // longest payload
  bool bounded = false;
};

struct RecordHeader {
  uint64_t checksum;
  uint64_t ticket;
  int64_t version;
  uint32_t length;  // of the payload, bytes; of a pad: what is left of the ring
  uint32_t kind;
};

namespace lane {
constexpr int64_t reserved_at = 0, committed_at = 8, mark_at = 16, consumed_at = 64, control_bytes = 128;
constexpr int64_t record_alignment = sizeof(RecordHeader);  // so that a pad's header always fits
constexpr int64_t stored_bytes(int64_t payload) {
  return (static_cast<int64_t>(sizeof(RecordHeader)) + payload + record_alignment - 1) / record_alignment *
         record_alignment;
}
inline uint64_t load(const std::byte* word) {
  return std::atomic_ref(*reinterpret_cast<uint64_t*>(const_cast<std::byte*>(word))).load(std::memory_order_acquire);
}
inline void store(std::byte* word, uint64_t value) {
  std::atomic_ref(*reinterpret_cast<uint64_t*>(word)).store(value, std::memory_order_release);
}
// Over the header's other fields and the payload's hash.
uint64_t checksum(const RecordHeader& header, uint64_t payload_hash);
}  // namespace lane

class LaneWriter {
 public:
  LaneWriter(mpi::Window& window, int target, const LaneLayout& layout);
  // See ReplayWindow::append.  `scratch` is only used within the call.
  size_t append(std::span<const OutgoingRecord> records, std::vector<std::byte>& scratch);
  uint64_t committed() const { return static_cast<uint64_t>(committed_); }
  uint64_t tickets() const { return ticket_; }

 private:
  struct Plan {
    size_t count = 0;
    int64_t end = 0;
  };
  Plan plan(std::span<const OutgoingRecord> records);
  bool has_room(int64_t end);
  void publish(std::span<const OutgoingRecord> records, int64_t end, std::vector<std::byte>& scratch);
  void put_records(std::span<const OutgoingRecord> records, std::vector<std::byte>& scratch);
  int64_t rest_of_ring(int64_t position) const { return layout_.ring_bytes - position % layout_.ring_bytes; }

  mpi::Window* window_;
  int target_;
  LaneLayout layout_;
  int64_t committed_ = 0, consumed_ = 0, mark_ = 0;  // consumed_: as last seen
  uint64_t ticket_ = 0;                              // of the next record
};

// What the product's reader does.  A test removes one check at a time, or acts between the steps of a read.
struct AllChecks {
  static constexpr bool checksum = true;  // XXH3 of what was copied
  static constexpr bool recheck = true;   // `reserved` (lanes) or the stamp (stores) once more after the copy
  static void pause() {}
};

template <class Checks = AllChecks>
class LaneReader {
 public:
  LaneReader(std::span<std::byte> part, const LaneLayout& layout)
      : control_(part.data() + layout.offset), ring_(part.data() + layout.ring_offset), layout_(layout) {}

  // Delivers at most `most` records in order; returns how many.  `deliver(const LaneRecord&)`.
  template <class Deliver>
  size_t drain(size_t most, std::vector<std::byte>& scratch, Deliver&& deliver);
  const LaneCounts& counts() const { return counts_; }
  uint64_t cursor() const { return static_cast<uint64_t>(cursor_); }  // of the record being delivered, in deliver()

 private:
  enum class Copy { good, overtaken, damaged };
  struct Words {
    int64_t reserved, committed, mark;
  };
  std::optional<Words> words();
  Copy copy(int64_t committed, RecordHeader& header, LaneRecord& record, std::vector<std::byte>& scratch);
  bool move_on(Copy failed, int64_t& committed);

  std::byte* control_;
  const std::byte* ring_;
  LaneLayout layout_;
  int64_t cursor_ = 0, committed_ = 0;
  uint64_t ticket_ = 0;  // expected next
  int failures_ = 0;     // copies of this record that failed
  LaneCounts counts_;
};

template <class Checks>
template <class Deliver>
size_t LaneReader<Checks>::drain(size_t most, std::vector<std::byte>& scratch, Deliver&& deliver) {
  const auto seen = words();
  if (!seen) return 0;
  int64_t committed = seen->committed;
  if (seen->reserved > cursor_ + layout_.ring_bytes && !move_on(Copy::overtaken, committed)) return 0;
  size_t delivered = 0;
  while (delivered < most && cursor_ < committed) {
    RecordHeader header;
    LaneRecord record{};
    const Copy outcome = copy(committed, header, record, scratch);
    if (outcome != Copy::good) {
      ++counts_.rejected;
      if (!move_on(outcome, committed)) break;
      continue;
    }
    failures_ = 0;
    const bool pad = record.kind == RecordKind::pad;
    if (!pad) {
      counts_.skipped += header.ticket - ticket_;
      ticket_ = header.ticket + 1;
      ++counts_.records;
      ++delivered;
      deliver(record);
    }
    cursor_ += pad ? static_cast<int64_t>(header.length) : lane::stored_bytes(header.length);
    // A bounded writer waits for room: let it have each quarter of the ring as soon as it is free.
    if (cursor_ - static_cast<int64_t>(lane::load(control_ + lane::consumed_at)) > layout_.ring_bytes / 4) {
      lane::store(control_ + lane::consumed_at, static_cast<uint64_t>(cursor_));
    }
  }
  lane::store(control_ + lane::consumed_at, static_cast<uint64_t>(cursor_));
  return delivered;
}

// The control words as they stood together at one instant, or nothing where the writer moves too fast just now.
template <class Checks>
std::optional<typename LaneReader<Checks>::Words> LaneReader<Checks>::words() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const auto committed = static_cast<int64_t>(lane::load(control_ + lane::committed_at));
    const auto mark = static_cast<int64_t>(lane::load(control_ + lane::mark_at));
    const auto reserved = static_cast<int64_t>(lane::load(control_ + lane::reserved_at));
    if (static_cast<int64_t>(lane::load(control_ + lane::committed_at)) != committed) continue;
    const bool sound = committed_ <= committed && committed <= reserved && reserved <= committed + layout_.ring_bytes &&
                       mark <= committed;
    VALIDATE(sound, "the control words of a lane are broken",
             "reserved " + std::to_string(reserved) + ", committed " + std::to_string(committed) + " after " +
                 std::to_string(committed_),
             "memory or network damaged them: restart from the last checkpoint");
    committed_ = committed;
    return Words{reserved, committed, mark};
  }
  return std::nullopt;
}

template <class Checks>
typename LaneReader<Checks>::Copy LaneReader<Checks>::copy(int64_t committed, RecordHeader& header, LaneRecord& record,
                                                           std::vector<std::byte>& scratch) {
  Checks::pause();
  const int64_t at = cursor_ % layout_.ring_bytes;
  std::memcpy(&header, ring_ + at, sizeof header);
  const bool pad = static_cast<RecordKind>(header.kind) == RecordKind::pad;
  const int64_t end = cursor_ + (pad ? static_cast<int64_t>(header.length) : lane::stored_bytes(header.length));
  // A length is not to be trusted before the checksum, but it must not lead out of the ring either.
  const bool plausible = end > cursor_ && end <= committed && end - cursor_ <= layout_.ring_bytes - at &&
                         (pad || header.length <= layout_.record_bytes) && header.ticket >= ticket_;
  std::span<const std::byte> payload;
  if (plausible && !pad) {
    Checks::pause();
    payload = {ring_ + at + static_cast<int64_t>(sizeof header), header.length};
    if (!layout_.bounded) {  // a bounded writer leaves the record alone until `consumed` has passed it
      if (scratch.size() < header.length) scratch.resize(static_cast<size_t>(layout_.record_bytes));
      if (!payload.empty()) std::memcpy(scratch.data(), payload.data(), payload.size());
      payload = std::span<const std::byte>(scratch).first(header.length);
    }
  }
  std::atomic_thread_fence(std::memory_order_acquire);  // the copy is done before `reserved` is read again
  if constexpr (Checks::recheck) {
    const auto reserved = static_cast<int64_t>(lane::load(control_ + lane::reserved_at));
    if (reserved > cursor_ + layout_.ring_bytes) return Copy::overtaken;
  }
  if (!plausible) return Copy::damaged;
  const uint64_t payload_hash = hash_bytes(payload);
  if constexpr (Checks::checksum) {
    if (lane::checksum(header, payload_hash) != header.checksum) return Copy::damaged;
  }
  record = {static_cast<RecordKind>(header.kind), header.ticket, header.version, payload, payload_hash};
  return Copy::good;
}

// After a failed copy: false where this visit should end.  Takes the words anew.
template <class Checks>
bool LaneReader<Checks>::move_on(Copy failed, int64_t& committed) {
  const auto seen = words();
  if (!seen) return false;
  committed = seen->committed;
  const bool overtaken = seen->reserved > cursor_ + layout_.ring_bytes;
  if (failed == Copy::damaged && !overtaken && ++failures_ < 4) return true;  // read it again
  VALIDATE(!layout_.bounded, "a record of a bounded lane is damaged",
           "its checksum fails and nobody has overwritten it", "restart from the last checkpoint");
  // Damaged for good: beyond the mark, as its length is worth nothing.
  cursor_ = seen->mark > cursor_ ? seen->mark : seen->committed;
  failures_ = 0;
  return true;
}

}  // namespace tightrope
