// Lanes through ReplayWindow: what arrives, how often, and in which order.
#include <gtest/gtest.h>

#include "race.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/replay_window.hpp"

namespace tightrope {
namespace {

using race::play;

ReplayGeometry geometry(int searchers, int64_t record_bytes, bool bounded) {
  ReplayGeometry g;
  g.searchers = searchers;
  g.record_bytes = record_bytes;
  g.slots = 8;
  g.report_bytes = 4096;
  g.bounded = bounded;
  return g;
}

uint64_t key(int searcher, uint64_t ticket) { return ticket * 64 + static_cast<uint64_t>(searcher); }

// Payload, length and version of a record are functions of its searcher and ticket.
struct Made {
  std::vector<std::vector<std::byte>> payloads;
  std::vector<OutgoingRecord> records;
};
size_t length_of(int searcher, uint64_t ticket, int64_t most) {
  return race::word_of(key(searcher, ticket), 1) % static_cast<uint64_t>(most + 1);
}
Made make(int searcher, uint64_t first, size_t count, int64_t most) {
  Made made;
  for (uint64_t t = first; t < first + count; ++t) {
    made.payloads.emplace_back(length_of(searcher, t, most));
    race::fill(made.payloads.back(), key(searcher, t));
  }
  for (size_t i = 0; i < count; ++i) {
    made.records.push_back({RecordKind::trajectory, static_cast<int64_t>(first + i) * 3, made.payloads[i]});
  }
  return made;
}
bool right(int searcher, const LaneRecord& record, int64_t most) {
  if (record.kind == RecordKind::phase_end) return true;
  return record.payload.size() == length_of(searcher, record.ticket, most) &&
         record.version == static_cast<int64_t>(record.ticket) * 3 &&
         race::matches(record.payload, key(searcher, record.ticket));
}

// The last record of a lane carries nothing; its ticket is the number of records before it.
void finish(ReplayWindow& window, int searcher) {
  const OutgoingRecord end{RecordKind::phase_end, 0, {}};
  const mpi::Waiting waiting("bounded lane: room for the last record");
  while (window.append(0, searcher, std::span(&end, 1)) == 0) std::this_thread::yield();
}

struct Arrivals {
  uint64_t bad = 0, out_of_order = 0, end_ticket = 0;
  std::vector<uint64_t> next;
  int ended = 0;
};

// Drains all lanes until each has delivered its last record.
Arrivals drain_all(ReplayWindow& window, int searchers, int64_t most, race::Naps& naps) {
  Arrivals arrivals;
  arrivals.next.resize(static_cast<size_t>(searchers));
  const mpi::Waiting waiting("the last record of every lane");
  while (arrivals.ended < searchers) {
    size_t delivered = 0;
    for (int s = 0; s < searchers; ++s) {
      delivered += window.drain(s, 1 + naps.number() % 16, [&](const LaneRecord& record) {
        uint64_t& next = arrivals.next[static_cast<size_t>(s)];
        if (record.ticket < next) ++arrivals.out_of_order;
        next = record.ticket + 1;
        if (!right(s, record, most)) ++arrivals.bad;
        if (record.kind == RecordKind::phase_end) ++arrivals.ended;
      });
      naps.maybe();
    }
    if (delivered == 0) std::this_thread::yield();
  }
  return arrivals;
}

void write_for(ReplayWindow& window, int searcher, int milliseconds, int64_t most) {
  race::Naps naps(static_cast<unsigned>(searcher) + 11, 16, 200);
  uint64_t next = 0;
  const mpi::Waiting waiting("bounded lane: room");
  for (const race::Budget budget(milliseconds); budget.left();) {
    const Made made = make(searcher, next, 1 + naps.number() % 8, most);
    const size_t taken = window.append(0, searcher, made.records);
    next += taken;
    if (taken == 0) std::this_thread::yield();
    naps.maybe();
  }
  finish(window, searcher);
}

TEST(Lane, BoundedDeliversEveryRecordOnceInOrder) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr int64_t most = 20000;  // both sides of the length from which payloads are put alone
  const int searchers = race::actors(comm);
  ReplayWindow window(comm, geometry(searchers, most, true));
  play(
      comm, [&](int s) { write_for(window, s, 1000, most); },
      [&] {
        race::Naps naps(3, 64, 500);
        const Arrivals arrivals = drain_all(window, searchers, most, naps);
        EXPECT_EQ(arrivals.bad, 0u);
        EXPECT_EQ(arrivals.out_of_order, 0u);
        for (int s = 0; s < searchers; ++s) {
          const LaneCounts counts = window.counts(s);
          EXPECT_EQ(counts.skipped, 0u);
          EXPECT_EQ(counts.rejected, 0u);
          EXPECT_EQ(counts.records, arrivals.next[static_cast<size_t>(s)]);
          EXPECT_GT(counts.records, 20u);
        }
      });
}

TEST(Lane, OvertakenReaderNeverDeliversATornRecordAndCountsWhatItLost) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr int64_t most = 2000;
  const int searchers = race::actors(comm);
  ReplayWindow window(comm, geometry(searchers, most, false));
  const bool slow = race::slow_network(comm);
  play(
      comm, [&](int s) { write_for(window, s, 1500, most); },
      [&] {
        race::Naps naps(5, 32, slow ? 60000 : 2000);
        const Arrivals arrivals = drain_all(window, searchers, most, naps);
        EXPECT_EQ(arrivals.bad, 0u);
        EXPECT_EQ(arrivals.out_of_order, 0u);
        for (int s = 0; s < searchers; ++s) {
          const LaneCounts counts = window.counts(s);
          EXPECT_EQ(counts.records + counts.skipped, arrivals.next[static_cast<size_t>(s)]);
          EXPECT_GT(counts.records, 20u);
          EXPECT_GT(counts.skipped, 0u);
        }
      });
}

// The reader sleeps for three laps, again and again: each visit finds the newest records and the counts add up.
TEST(Lane, ReaderStalledForThreeLapsRecovers) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr int64_t most = 100;
  const int searchers = race::actors(comm);
  ReplayWindow window(comm, geometry(searchers, most, false));
  const int64_t lap = window.geometry().ring_bytes() / lane::stored_bytes(most);  // at least as many records
  std::vector<uint64_t> sent(static_cast<size_t>(searchers));
  for (int visit = 0; visit < 200; ++visit) {
    const bool stalled = visit % 2 == 0;
    for (int s = 0; s < searchers; ++s) {
      const size_t count = stalled ? static_cast<size_t>(lap) * 12 : 2;  // mean length is half: 12 are over 3 laps
      const Made made = make(s, sent[static_cast<size_t>(s)], count, most);
      sent[static_cast<size_t>(s)] += count;
      const bool mine = comm.size() == 1 || comm.rank() == s + 1;
      if (mine) {
        EXPECT_EQ(window.append(0, s, made.records), count);
      }
    }
    comm.barrier();
    for (int s = 0; comm.rank() == 0 && s < searchers; ++s) {
      uint64_t last = 0;
      const LaneCounts before = window.counts(s);
      const size_t delivered = window.drain(s, 1000000, [&](const LaneRecord& record) {
        EXPECT_TRUE(right(s, record, most));
        last = record.ticket;
      });
      const LaneCounts counts = window.counts(s);
      ASSERT_EQ(last + 1, sent[static_cast<size_t>(s)]);
      ASSERT_EQ(counts.records + counts.skipped, sent[static_cast<size_t>(s)]);
      ASSERT_EQ(counts.skipped > before.skipped, stalled);
      if (!stalled) {
        ASSERT_EQ(delivered, 2u);
      }
    }
    comm.barrier();
  }
}

TEST(Lane, FullBoundedLaneSaysSoAndGoesOn) {
  const mpi::Comm comm = mpi::Comm::world();
  constexpr int64_t most = 64;
  ReplayGeometry g = geometry(comm.size(), most, true);
  g.trainers = comm.size();  // every rank is trainer and searcher: it writes to the next rank
  ReplayWindow window(comm, g);
  const int me = comm.rank(), next = (me + 1) % comm.size(), previous = (me + comm.size() - 1) % comm.size();
  uint64_t sent = 0, seen = 0;
  for (int round = 0; round < 300; ++round) {
    const Made made = make(me, sent, 12, most);
    const size_t taken = window.append(next, me, made.records);
    sent += taken;
    comm.barrier();
    EXPECT_GT(taken, 0u);
    if (round % 3 == 2) {  // now the lane is full for sure
      const Made more = make(me, sent, 12, most);
      const size_t rest = window.append(next, me, more.records);
      EXPECT_LT(rest, 12u);
      sent += rest;
      comm.barrier();
    }
    window.drain(previous, round % 2 == 0 ? 1000 : 1, [&](const LaneRecord& record) {
      EXPECT_EQ(record.ticket, seen++);
      EXPECT_TRUE(right(previous, record, most));
    });
    comm.barrier();
    if (round % 2 == 1) {
      window.drain(previous, 1000, [&](const LaneRecord& record) { EXPECT_EQ(record.ticket, seen++); });
      comm.barrier();
    }
  }
  EXPECT_EQ(window.counts(previous).skipped, 0u);
}

TEST(Lane, RefusesARecordThatIsTooLong) {
  const mpi::Comm comm = mpi::Comm::world();
  ReplayWindow window(comm, geometry(1, 16, false));
  const std::vector<std::byte> payload(17);
  const OutgoingRecord record{RecordKind::trajectory, 0, payload};
  EXPECT_THROW(window.append(0, 0, std::span(&record, 1)), Failure);
  comm.barrier();
}

TEST(Lane, ReportsAreWholeAndTheNewest) {
  const mpi::Comm comm = mpi::Comm::world();
  const int searchers = race::actors(comm);
  ReplayWindow window(comm, geometry(searchers, 64, false));
  constexpr uint64_t last = 1u << 20;
  const auto send = [&](int s, uint64_t number) {
    std::vector<std::byte> bytes(8 + number % 4000);
    race::fill(std::span(bytes).subspan(8), number);
    std::memcpy(bytes.data(), &number, sizeof number);
    window.report(0, s, bytes);
  };
  play(
      comm,
      [&](int s) {
        race::Naps naps(static_cast<unsigned>(s) + 1, 8, 100);
        uint64_t number = 1;
        for (const race::Budget budget(500); budget.left(); naps.maybe()) send(s, number++);
        send(s, last);
      },
      [&] {
        std::vector<uint64_t> newest(static_cast<size_t>(searchers));
        const mpi::Waiting waiting("the last report of every searcher");
        for (int ended = 0; ended < searchers; std::this_thread::yield()) {
          for (int s = 0; s < searchers; ++s) {
            const auto bytes = window.take_report(s);
            if (!bytes) continue;
            uint64_t number = 0;
            std::memcpy(&number, bytes->data(), sizeof number);
            EXPECT_GT(number, newest[static_cast<size_t>(s)]);
            EXPECT_EQ(bytes->size(), 8 + number % 4000);
            EXPECT_TRUE(race::matches(std::span(*bytes).subspan(8), number));
            newest[static_cast<size_t>(s)] = number;
            if (number == last) ++ended;
          }
        }
        for (int s = 0; s < searchers; ++s) EXPECT_FALSE(window.take_report(s));
      });
}

}  // namespace
}  // namespace tightrope
