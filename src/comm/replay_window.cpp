#include "tightrope/comm/replay_window.hpp"

#include <limits>

namespace tightrope {
namespace {

constexpr int64_t line_bytes = 64;  // parts that different ranks write share no cache line

constexpr int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// A report: two places, used in turn, each with its own header.  The newest whole one counts.
struct ReportHeader {
  uint64_t checksum, sequence, length;
};

uint64_t report_checksum(const ReportHeader& header, std::span<const std::byte> bytes) {
  const uint64_t words[3] = {header.sequence, header.length, hash_bytes(bytes)};
  return hash_bytes(std::as_bytes(std::span(words)));
}

int64_t report_stride(const ReplayGeometry& g) {
  return round_up(static_cast<int64_t>(sizeof(ReportHeader)) + g.report_bytes, line_bytes);
}

int64_t lane_stride(const ReplayGeometry& g) { return lane::control_bytes + 2 * report_stride(g) + g.ring_bytes(); }

ReplayGeometry checked(const ReplayGeometry& g, int ranks) {
  VALIDATE(g.trainers >= 1 && g.trainers <= ranks && g.searchers >= 1, "a replay window without a place",
           std::to_string(g.trainers) + " trainers, " + std::to_string(g.searchers) + " searchers on " +
               std::to_string(ranks) + " ranks",
           "give it at least one of each, and no more trainers than ranks");
  VALIDATE(g.record_bytes > 0 && g.record_bytes <= int64_t{1} << 31 && g.slots >= 0 && g.report_bytes >= 0,
           "a replay window of impossible size",
           std::to_string(g.record_bytes) + " bytes per record, " + std::to_string(g.slots) + " slots",
           "records hold 1 byte to 2 GiB: shorten the trajectories");
  return g;
}

}  // namespace

int64_t ReplayGeometry::ring_bytes() const {
  return round_up(std::max(lane_bytes, 4 * lane::stored_bytes(record_bytes)), line_bytes);
}
int64_t ReplayGeometry::slot_bytes() const {
  return round_up(static_cast<int64_t>(sizeof(store::SlotHeader)) + record_bytes, line_bytes);
}
int64_t ReplayGeometry::part_bytes() const { return slot_offset(slots); }
int64_t ReplayGeometry::report_offset(int searcher) const {
  return searcher * lane_stride(*this) + lane::control_bytes;
}
int64_t ReplayGeometry::slot_offset(int64_t slot) const { return searchers * lane_stride(*this) + slot * slot_bytes(); }
LaneLayout ReplayGeometry::lane(int searcher) const {
  return {searcher * lane_stride(*this), report_offset(searcher) + 2 * report_stride(*this), ring_bytes(), record_bytes,
          bounded};
}

ReplayWindow::ReplayWindow(const mpi::Comm& comm, const ReplayGeometry& geometry)
    : geometry_(checked(geometry, comm.size())),
      window_(comm, comm.rank() < geometry.trainers ? geometry.part_bytes() : 0) {
  for (int t = 0; t < geometry_.trainers; ++t) {
    for (int s = 0; s < geometry_.searchers; ++s) writers_.emplace_back(window_, t, geometry_.lane(s));
  }
  if (comm.rank() < geometry_.trainers) {
    for (int s = 0; s < geometry_.searchers; ++s) readers_.emplace_back(window_.local(), geometry_.lane(s));
  }
  reports_.resize(writers_.size());
}

size_t ReplayWindow::append(int trainer, int searcher, std::span<const Outgoing> records) {
  const auto at = static_cast<size_t>(trainer * geometry_.searchers + searcher);
  return writers_[at].append(records, gather_);
}

void ReplayWindow::report(int trainer, int searcher, std::span<const std::byte> bytes) {
  VALIDATE(static_cast<int64_t>(bytes.size()) <= geometry_.report_bytes, "a searcher's report is too long",
           std::to_string(bytes.size()) + " bytes, there is room for " + std::to_string(geometry_.report_bytes),
           "this is a mistake in the program: please report it");
  uint64_t& written = reports_[static_cast<size_t>(trainer * geometry_.searchers + searcher)].written;
  ReportHeader header{0, ++written, bytes.size()};
  header.checksum = report_checksum(header, bytes);
  const int64_t offset =
      geometry_.report_offset(searcher) + static_cast<int64_t>(header.sequence % 2) * report_stride(geometry_);
  window_.put(trainer, offset, std::as_bytes(std::span(&header, 1)));
  window_.put(trainer, offset + static_cast<int64_t>(sizeof header), bytes);
  window_.flush(trainer);
}

size_t ReplayWindow::drain(int searcher, size_t most, const std::function<void(const LaneRecord&)>& deliver) {
  window_.sync();
  const size_t delivered = readers_[static_cast<size_t>(searcher)].drain(most, scratch_, deliver);
  window_.sync();
  return delivered;
}

LaneCounts ReplayWindow::counts(int searcher) const { return readers_[static_cast<size_t>(searcher)].counts(); }

std::optional<std::vector<std::byte>> ReplayWindow::take_report(int searcher) {
  window_.sync();
  uint64_t& taken = reports_[static_cast<size_t>(searcher)].taken;
  std::optional<std::vector<std::byte>> newest;
  for (int place = 0; place < 2; ++place) {
    const std::byte* at = window_.local().data() + geometry_.report_offset(searcher) + place * report_stride(geometry_);
    ReportHeader header;
    std::memcpy(&header, at, sizeof header);
    if (header.sequence <= taken || header.length > static_cast<uint64_t>(geometry_.report_bytes)) continue;
    std::vector<std::byte> bytes(header.length);
    if (!bytes.empty()) std::memcpy(bytes.data(), at + sizeof header, bytes.size());
    if (report_checksum(header, bytes) != header.checksum) continue;  // being written: the other one is whole
    taken = header.sequence;
    newest = std::move(bytes);
  }
  return newest;
}

void ReplayWindow::write(int64_t slot, uint64_t ticket, std::span<const std::byte> payload) {
  EXPECT(slot >= 0 && slot < geometry_.slots && static_cast<int64_t>(payload.size()) <= geometry_.record_bytes);
  store::write(window_.local().data() + geometry_.slot_offset(slot), ticket, payload, hash_bytes(payload));
  window_.sync();
}

void ReplayWindow::write(int64_t slot, uint64_t ticket, const LaneRecord& record) {
  EXPECT(slot >= 0 && slot < geometry_.slots);
  store::write(window_.local().data() + geometry_.slot_offset(slot), ticket, record.payload, record.payload_hash);
  window_.sync();
}

bool ReplayWindow::read(int trainer, int64_t slot, uint64_t ticket, std::vector<std::byte>& payload) {
  EXPECT(slot >= 0 && slot < geometry_.slots);
  return store::read(window_, trainer, geometry_.slot_offset(slot), geometry_.record_bytes, ticket, payload);
}

std::span<const std::byte> ReplayWindow::view(int64_t slot, uint64_t ticket) const {
  EXPECT(slot >= 0 && slot < geometry_.slots);
  const std::byte* at = window_.local().data() + geometry_.slot_offset(slot);
  store::SlotHeader header;
  std::memcpy(&header, at, sizeof header);
  if (header.stamp == 0 || header.ticket != ticket) return {};
  return {at + sizeof header, header.length};
}

}  // namespace tightrope
