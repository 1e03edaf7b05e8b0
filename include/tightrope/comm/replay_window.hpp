#pragma once
// ReplayWindow: lanes (transport) and stores (memory) in one RMA window.
//
// Lanes.  In every trainer's part there is one lane per searcher: a byte ring with a single writer (that searcher)
// and a single reader (that trainer).  The writer puts `reserved`, flushes, puts records, flushes, puts `committed`,
// flushes; the reader copies, then re-reads `reserved`, and checks XXH3-64 over (ticket, length, kind, version,
// payload).  Cursors are byte counts that only grow and always stand on record boundaries.  An overtaken reader
// jumps to `committed` and counts what it skipped.  A bounded lane never overtakes: append says full instead.
// Stores.  Fixed slots of the longest record, written only by their owner, readable by every rank: a seqlock
// (stamp, bytes, stamp) and the same checksum.  DESIGN decisions 1-3.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tightrope/base/mpi.hpp"

namespace tightrope {

struct ReplayGeometry {
  int trainers = 1;              // ranks 0 .. trainers-1 hold a part
  int searchers = 1;             // lanes per trainer
  int64_t record_bytes = 0;      // longest payload
  int64_t lane_bytes = 0;        // ring size; at least four longest records are made room for
  int64_t slots = 0;             // per store
  int64_t report_bytes = 65536;  // room for a searcher's latest report
  bool bounded = false;

  int64_t slot_bytes() const;    // with header
  int64_t part_bytes() const;    // of one trainer's part, all lanes and the store
};

enum class RecordKind : uint32_t { pad = 0, trajectory = 1, phase_end = 2 };

struct LaneRecord {
  RecordKind kind;
  uint64_t ticket;    // of this lane, from 0, without gaps
  int64_t version;
  std::span<const std::byte> payload;  // valid until the callback returns
};

struct LaneCounts {
  uint64_t records = 0;   // delivered
  uint64_t skipped = 0;   // tickets lost to overtaking
  uint64_t rejected = 0;  // copies that failed their check and were read again
};

class ReplayWindow {
 public:
  ReplayWindow(const mpi::Comm& comm, const ReplayGeometry& geometry);  // collective

  // --- searcher side (only searcher `searcher` may call) ---
  struct Outgoing {
    RecordKind kind = RecordKind::trajectory;
    int64_t version = 0;
    std::span<const std::byte> payload;
  };
  // Appends as many of the records as fit, in order, in one reserve/put/commit; returns how many.
  // Unbounded lanes always take all.  Never waits for the reader.
  size_t append(int trainer, int searcher, std::span<const Outgoing> records);
  // Replaces the searcher's report at that trainer; the reader sees the whole or the previous one.
  void report(int trainer, int searcher, std::span<const std::byte> bytes);

  // --- trainer side (own part) ---
  // Delivers at most `most` records of one lane in order; returns how many.
  size_t drain(int searcher, size_t most, const std::function<void(const LaneRecord&)>& deliver);
  LaneCounts counts(int searcher) const;
  // The newest whole report of a searcher, or nothing if it has not changed since the last call.
  std::optional<std::vector<std::byte>> take_report(int searcher);

  // --- stores ---
  void write(int64_t slot, uint64_t ticket, std::span<const std::byte> payload);  // own store
  // Any rank, any store.  False where the slot holds another ticket or is being rewritten.
  bool read(int trainer, int64_t slot, uint64_t ticket, std::vector<std::byte>& payload);
  // Own store, without a copy: empty where the slot holds another ticket.  Valid until write(slot).
  std::span<const std::byte> view(int64_t slot, uint64_t ticket) const;

  const ReplayGeometry& geometry() const { return geometry_; }

 private:
  struct Writer { uint64_t reserved = 0, consumed = 0, ticket = 0; uint64_t report_sequence = 0; };
  struct Reader { uint64_t cursor = 0, ticket = 0, report_sequence = 0; LaneCounts counts; };

  ReplayGeometry geometry_;
  mpi::Window window_;
  std::vector<Writer> writers_;  // [trainer]
  std::vector<Reader> readers_;  // [searcher]
  std::vector<std::byte> scratch_;
};

}  // namespace tightrope
