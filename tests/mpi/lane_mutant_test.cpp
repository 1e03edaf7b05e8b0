// The lane's reader with a check removed: the tests above are only worth something if they notice.
#include <gtest/gtest.h>

#include "race.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/lane.hpp"

namespace tightrope {
namespace {

// A policy whose pauses run what the test says.
template <bool Checksum, bool Recheck>
struct Mutant {
  static constexpr bool checksum = Checksum, recheck = Recheck;
  static inline std::function<void()> action;
  static void pause() {
    if (action) action();
  }
};

constexpr int64_t payload_bytes = 4064, stored = 4096, in_ring = 4;

LaneLayout layout(bool bounded) { return {0, lane::control_bytes, in_ring * stored, payload_bytes, bounded}; }
int64_t part_bytes() { return lane::control_bytes + in_ring * stored; }

void write(LaneWriter& writer, size_t count, std::vector<std::byte>& scratch) {
  std::vector<std::byte> payload(payload_bytes);
  for (size_t i = 0; i < count; ++i) {
    race::fill(payload, writer.tickets());
    const OutgoingRecord record{RecordKind::trajectory, 0, payload};
    writer.append(std::span(&record, 1), scratch);
  }
}

// A record is right where its payload belongs to its ticket and its ticket to its place: all have one size.
template <class Reader>
bool right(const Reader& reader, const LaneRecord& record) {
  return reader.cursor() == record.ticket * stored && record.payload.size() == payload_bytes &&
         race::matches(record.payload, record.ticket);
}

struct Outcome {
  uint64_t good = 0, bad = 0, rejected = 0;
};

// Rank by rank, in its own part: four records lie there, and one more comes between the look at the words and the copy.
template <class Checks>
Outcome overtaken_by_one() {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, part_bytes());
  LaneWriter writer(window, comm.rank(), layout(false));
  LaneReader<Checks> reader(window.local(), layout(false));
  std::vector<std::byte> out, in;
  write(writer, in_ring, out);
  bool done = false;
  Checks::action = [&] {
    if (!std::exchange(done, true)) write(writer, 1, out);
  };
  Outcome outcome;
  const auto deliver = [&](const LaneRecord& record) { ++(right(reader, record) ? outcome.good : outcome.bad); };
  reader.drain(100, in, deliver);
  reader.drain(100, in, deliver);
  Checks::action = nullptr;
  outcome.rejected = reader.counts().rejected;
  return outcome;
}

TEST(LaneMutant, WithoutTheRecheckARecordOfTheNextLapIsTaken) {
  const Outcome real = overtaken_by_one<Mutant<true, true>>();
  EXPECT_EQ(real.bad, 0u);
  EXPECT_GT(real.good, 0u);
  EXPECT_EQ(real.rejected, 1u);
  const Outcome mutant = overtaken_by_one<Mutant<true, false>>();
  EXPECT_GT(mutant.bad, 0u);
}

// A byte that changes on its way: only the checksum can know.
template <class Checks>
Outcome damaged(bool bounded) {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, part_bytes());
  LaneWriter writer(window, comm.rank(), layout(bounded));
  LaneReader<Checks> reader(window.local(), layout(bounded));
  std::vector<std::byte> out, in;
  write(writer, 2, out);
  window.local()[static_cast<size_t>(lane::control_bytes) + 1000] ^= std::byte{1};
  Outcome outcome;
  const auto deliver = [&](const LaneRecord& record) { ++(right(reader, record) ? outcome.good : outcome.bad); };
  reader.drain(100, in, deliver);
  write(writer, 1, out);
  reader.drain(100, in, deliver);
  outcome.rejected = reader.counts().rejected;
  EXPECT_EQ(reader.counts().records + reader.counts().skipped, 3u);
  return outcome;
}

TEST(LaneMutant, WithoutTheChecksumADamagedRecordIsTaken) {
  const Outcome real = damaged<Mutant<true, true>>(false);
  EXPECT_EQ(real.bad, 0u);
  EXPECT_GT(real.good, 0u);
  EXPECT_GT(real.rejected, 0u);
  const Outcome mutant = damaged<Mutant<false, true>>(false);
  EXPECT_EQ(mutant.bad, 1u);
}

TEST(LaneMutant, DamageInABoundedLaneEndsTheRun) {
  const mpi::Comm comm = mpi::Comm::world();
  EXPECT_THROW((damaged<Mutant<true, true>>(true)), Failure);
  comm.barrier();
}

TEST(LaneMutant, BrokenControlWordsEndTheRun) {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, part_bytes());
  LaneReader<> reader(window.local(), layout(false));
  std::vector<std::byte> in;
  const auto ignore = [](const LaneRecord&) {};
  EXPECT_EQ(reader.drain(1, in, ignore), 0u);
  lane::store(window.local().data() + lane::committed_at, 64);  // committed beyond reserved
  EXPECT_THROW(reader.drain(1, in, ignore), Failure);
  lane::store(window.local().data() + lane::reserved_at, 64 + in_ring * stored + 1);  // more than a ring ahead
  EXPECT_THROW(reader.drain(1, in, ignore), Failure);
  comm.barrier();
}

// Writers as fast as they can on a ring of four records, a reader that pauses anywhere.
template <class Checks>
Outcome raced(int milliseconds) {
  const mpi::Comm comm = mpi::Comm::world();
  const int writers = race::actors(comm);
  mpi::Window window(comm, comm.rank() == 0 ? writers * part_bytes() : 0);
  const auto place = [](int s) {
    LaneLayout at = layout(false);
    at.offset += s * part_bytes();
    at.ring_offset += s * part_bytes();
    return at;
  };
  const int nap = race::slow_network(comm) ? 12000 : 60;
  Outcome outcome;
  const auto watch = [&] {
    race::Naps naps(7, 3, nap);
    Checks::action = [&] { naps.maybe(); };
    std::vector<std::byte> in;
    std::vector<LaneReader<Checks>> readers;
    for (int s = 0; s < writers; ++s) readers.emplace_back(window.local(), place(s));
    for (const race::Budget budget(milliseconds); budget.left();) {
      for (auto& reader : readers) {
        reader.drain(8, in, [&](const LaneRecord& record) { ++(right(reader, record) ? outcome.good : outcome.bad); });
      }
    }
    for (auto& reader : readers) outcome.rejected += reader.counts().rejected;
    Checks::action = nullptr;
  };
  const auto act = [&](int s) {
    LaneWriter writer(window, 0, place(s));
    std::vector<std::byte> out;
    for (const race::Budget budget(milliseconds); budget.left();) write(writer, 4, out);
  };
  race::play(comm, act, watch);
  return outcome;
}

TEST(LaneMutant, TornReadsAreDeliveredWithoutChecksAndNeverWithThem) {
  const bool watcher = mpi::Comm::world().rank() == 0;
  const Outcome real = raced<Mutant<true, true>>(2000);
  EXPECT_EQ(real.bad, 0u);
  if (watcher) {
    EXPECT_GT(real.good, 0u);
  }
  if (watcher) {
    EXPECT_GT(real.rejected, 0u);
  }
  const Outcome unchecked = raced<Mutant<false, false>>(500);
  if (watcher) {
    EXPECT_GT(unchecked.bad, 0u);
  }
  const Outcome late = raced<Mutant<true, false>>(500);  // whole records, of another lap
  if (watcher) {
    EXPECT_GT(late.bad, 0u);
  }
}

}  // namespace
}  // namespace tightrope
