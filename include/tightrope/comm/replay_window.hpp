#pragma once
// ReplayWindow: lanes (transport) and stores (memory) in one RMA window.
//
// Lanes.  In every trainer's part there is one lane per searcher: a byte ring with a single writer (that searcher)
// and a single reader (that trainer).  The writer puts `reserved`, flushes, puts records, flushes, puts `committed`,
// flushes; the reader copies, then re-reads `reserved`, and checks XXH3-64 over (ticket, length, kind, version,
// payload).  Cursors are byte counts that only grow and always stand on record boundaries.  An overtaken reader
// goes on at a record boundary within the newest half of the lane and counts what it skipped.  A bounded lane never
// overtakes: append says full instead.  The protocol itself is in lane.hpp and store.hpp.
// Stores.  Fixed slots of the longest record, written only by their owner, readable by every rank: a seqlock
// (stamp, bytes, stamp) and the same checksum.  DESIGN decisions 1-3.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tightrope/base/mpi.hpp"
#include "tightrope/comm/lane.hpp"
#include "tightrope/comm/store.hpp"

namespace tightrope {

struct ReplayGeometry {
  int trainers = 1;              // ranks 0 .. trainers-1 hold a part
  int searchers = 1;             // lanes per trainer
  int64_t record_bytes = 0;      // longest payload
  int64_t lane_bytes = 0;        // ring size; at least four longest records are made room for
  int64_t slots = 0;             // per store
  int64_t report_bytes = 65536;  // room for a searcher's latest report
  bool bounded = false;

  int64_t ring_bytes() const;                 // of one lane as it is made
  int64_t slot_bytes() const;                 // with header
  int64_t part_bytes() const;                 // of one trainer's part, all lanes and the store
  int64_t report_offset(int searcher) const;  // bytes from the start of the part
  int64_t slot_offset(int64_t slot) const;
  LaneLayout lane(int searcher) const;
};

class ReplayWindow {
 public:
  ReplayWindow(const mpi::Comm& comm, const ReplayGeometry& geometry);  // collective

  // --- searcher side (only searcher `searcher` may call) ---
  using Outgoing = OutgoingRecord;
  // Appends as many of the records as fit, in order, in one reserve/put/commit per half lane; returns how many.
  // Unbounded lanes always take all.  Never waits for the reader.  Payloads may be empty.
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
  void write(int64_t slot, uint64_t ticket, const LaneRecord& record);            // the same; keeps the searcher's hash
  // Any rank, any store.  False where the slot holds another ticket or is being rewritten.
  bool read(int trainer, int64_t slot, uint64_t ticket, std::vector<std::byte>& payload);
  // Own store, without a copy: empty where the slot holds another ticket.  Valid until write(slot).
  std::span<const std::byte> view(int64_t slot, uint64_t ticket) const;

  const ReplayGeometry& geometry() const { return geometry_; }

 private:
  struct Reports {
    uint64_t written = 0, taken = 0;  // sequence numbers, from 1
  };

  ReplayGeometry geometry_;
  mpi::Window window_;
  std::vector<LaneWriter> writers_;          // [trainer * searchers + searcher]
  std::vector<LaneReader<>> readers_;        // [searcher]; empty off the trainers
  std::vector<Reports> reports_;             // as writers_ for written, [searcher] for taken
  std::vector<std::byte> gather_, scratch_;  // of append and of drain: the two may run in two threads
};

}  // namespace tightrope
