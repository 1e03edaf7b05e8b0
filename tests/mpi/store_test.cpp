// Stores: seqlock reads from any rank, and what happens without their checks.
#include <gtest/gtest.h>

#include <utility>

#include "race.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/replay_window.hpp"

namespace tightrope {
namespace {

template <bool Checksum, bool Recheck>
struct Mutant {
  static constexpr bool checksum = Checksum, recheck = Recheck;
  static inline std::function<void()> action;
  static void pause() {
    if (action) action();
  }
};

TEST(Store, EveryRankReadsEveryStore) {
  const mpi::Comm comm = mpi::Comm::world();
  ReplayGeometry g;
  g.trainers = comm.size();
  g.record_bytes = 300;
  g.slots = 16;
  ReplayWindow window(comm, g);
  const auto ticket_of = [](int trainer, int64_t slot) { return static_cast<uint64_t>(100 * trainer + slot); };
  std::vector<std::byte> payload;
  EXPECT_FALSE(window.read(0, 3, 0, payload));
  EXPECT_TRUE(window.view(3, 0).empty());
  comm.barrier();
  for (int64_t slot = 0; slot < g.slots; ++slot) {
    payload.resize(static_cast<size_t>(20 * slot));
    race::fill(payload, ticket_of(comm.rank(), slot));
    window.write(slot, ticket_of(comm.rank(), slot), payload);
    EXPECT_EQ(window.view(slot, ticket_of(comm.rank(), slot)).size(), payload.size());
    EXPECT_TRUE(window.view(slot, 7777).empty());
  }
  comm.barrier();
  for (int t = 0; t < comm.size(); ++t) {
    for (int64_t slot = 0; slot < g.slots; ++slot) {
      ASSERT_TRUE(window.read(t, slot, ticket_of(t, slot), payload));
      EXPECT_EQ(payload.size(), static_cast<size_t>(20 * slot));
      EXPECT_TRUE(race::matches(payload, ticket_of(t, slot)));
      EXPECT_FALSE(window.read(t, slot, 7777, payload));
    }
  }
  comm.barrier();
}

constexpr int64_t record_bytes = 2000, slot_stride = 2048, slots = 4;

size_t length_of(uint64_t ticket) { return 1 + race::word_of(ticket, 9) % record_bytes; }

void write(mpi::Window& window, int64_t slot, uint64_t ticket) {
  std::vector<std::byte> payload(length_of(ticket));
  race::fill(payload, ticket);
  store::write(window.local().data() + slot * slot_stride, ticket, payload, hash_bytes(payload));
  window.sync();
}

// Whether a read that is interrupted by `action` before its payload came through, and whether it was wrong.
template <class Checks>
std::pair<bool, bool> interrupted(const std::function<void(mpi::Window&)>& action) {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, slots * slot_stride);
  write(window, 1, 10);
  Checks::action = [&] { action(window); };
  std::vector<std::byte> payload;
  const bool taken = store::read<Checks>(window, comm.rank(), slot_stride, record_bytes, 10, payload);
  Checks::action = nullptr;
  return {taken, !race::matches(payload, 10)};
}

TEST(StoreMutant, WithoutChecksARewrittenSlotIsTaken) {
  const auto rewrite = [](mpi::Window& window) { write(window, 1, 11); };
  EXPECT_FALSE((interrupted<Mutant<true, true>>(rewrite).first));
  EXPECT_FALSE((interrupted<Mutant<false, true>>(rewrite).first));
  EXPECT_FALSE((interrupted<Mutant<true, false>>(rewrite).first));
  EXPECT_EQ((interrupted<Mutant<false, false>>(rewrite)), std::pair(true, true));
}

TEST(StoreMutant, WithoutTheChecksumADamagedSlotIsTaken) {
  const auto damage = [](mpi::Window& window) {
    window.local()[static_cast<size_t>(slot_stride) + sizeof(store::SlotHeader)] ^= std::byte{4};
  };
  EXPECT_FALSE((interrupted<Mutant<true, true>>(damage).first));
  EXPECT_EQ((interrupted<Mutant<false, true>>(damage)), std::pair(true, true));
}

struct Outcome {
  uint64_t good = 0, bad = 0, refused = 0;
};

// Rank 0 rewrites its slots as fast as it can; the others read whatever they find there.
template <class Checks>
Outcome raced(int milliseconds) {
  const mpi::Comm comm = mpi::Comm::world();
  mpi::Window window(comm, comm.rank() == 0 ? slots * slot_stride : 0);
  const bool slow = race::slow_network(comm);
  Outcome outcome;
  const auto read = [&](int actor) {
    race::Naps naps(static_cast<unsigned>(actor) + 1, 3, slow ? 20000 : 40);
    Checks::action = [&] { naps.maybe(); };
    std::vector<std::byte> payload;
    for (const race::Budget budget(milliseconds); budget.left();) {
      const int64_t offset = naps.number() % slots * slot_stride;
      uint64_t ticket = 0;
      window.get(0, offset + 8, std::as_writable_bytes(std::span(&ticket, 1)));
      window.flush(0);
      if (!store::read<Checks>(window, 0, offset, record_bytes, ticket, payload)) {
        ++outcome.refused;
      } else {
        ++(payload.size() == length_of(ticket) && race::matches(payload, ticket) ? outcome.good : outcome.bad);
      }
    }
    Checks::action = nullptr;
  };
  const auto own = [&] {
    race::Naps naps(99, slow ? 1 : 4, slow ? 10000 : 30);
    uint64_t ticket = 0;
    for (const race::Budget budget(milliseconds); budget.left(); naps.maybe(), ++ticket) {
      write(window, static_cast<int64_t>(ticket) % slots, ticket);
    }
  };
  race::play(comm, read, own);
  int64_t all[3] = {static_cast<int64_t>(outcome.good), static_cast<int64_t>(outcome.bad),
                    static_cast<int64_t>(outcome.refused)};
  comm.sum(std::span<int64_t>(all));
  return {static_cast<uint64_t>(all[0]), static_cast<uint64_t>(all[1]), static_cast<uint64_t>(all[2])};
}

TEST(StoreMutant, TornReadsAreDeliveredWithoutChecksAndNeverWithThem) {
  const Outcome real = raced<Mutant<true, true>>(1500);
  EXPECT_EQ(real.bad, 0u);
  EXPECT_GT(real.good, 0u);
  EXPECT_GT(real.refused, 0u);
  EXPECT_GT((raced<Mutant<false, false>>(500).bad), 0u);
}

}  // namespace
}  // namespace tightrope
