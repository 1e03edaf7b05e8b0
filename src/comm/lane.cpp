#include "tightrope/comm/lane.hpp"

namespace tightrope {
namespace {

constexpr int64_t gather_bytes = 256 << 10;   // small records travel together, in puts of at most this
constexpr int64_t put_alone_from = 16 << 10;  // longer payloads are put from where they are, without a copy

// Collects what is contiguous in the ring and puts it at once.
class Gather {
 public:
  Gather(mpi::Window& window, int target, const LaneLayout& layout, std::vector<std::byte>& buffer)
      : window_(window), target_(target), layout_(layout), buffer_(buffer) {
    buffer_.resize(static_cast<size_t>(gather_bytes));
  }

  void add(int64_t position, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto size = static_cast<int64_t>(bytes.size());
    const bool contiguous = start_ + used_ == position && position % layout_.ring_bytes != 0;
    if (!contiguous || used_ + size > gather_bytes) put(position);
    std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
    used_ += size;
  }
  // The gap between a payload and the next record boundary: not worth a put of its own.
  void skip_to(int64_t position) {
    if (used_ > 0 && position - start_ <= gather_bytes) used_ = position - start_;
  }
  void put(int64_t next = 0) {
    if (used_ > 0) {
      window_.put(target_, layout_.ring_offset + start_ % layout_.ring_bytes,
                  std::span<const std::byte>(buffer_).first(static_cast<size_t>(used_)));
      if (next > 0) window_.flush(target_);  // MPI may still read the buffer
    }
    start_ = next;
    used_ = 0;
  }

 private:
  mpi::Window& window_;
  int target_;
  const LaneLayout& layout_;
  std::vector<std::byte>& buffer_;
  int64_t start_ = 0, used_ = 0;
};

}  // namespace

uint64_t lane::checksum(const RecordHeader& header, uint64_t payload_hash) {
  const uint64_t words[4] = {header.ticket, static_cast<uint64_t>(header.version),
                             uint64_t{header.length} << 32 | header.kind, payload_hash};
  return hash_bytes(std::as_bytes(std::span(words)));
}

LaneWriter::LaneWriter(mpi::Window& window, int target, const LaneLayout& layout)
    : window_(&window), target_(target), layout_(layout) {}

size_t LaneWriter::append(std::span<const OutgoingRecord> records, std::vector<std::byte>& scratch) {
  size_t taken = 0;
  while (taken < records.size()) {
    const Plan next = plan(records.subspan(taken));
    if (next.count == 0) break;
    publish(records.subspan(taken, next.count), next.end, scratch);
    taken += next.count;
  }
  return taken;
}

// How many records go out together: at most half a ring, so that a reader always finds the other half whole.
LaneWriter::Plan LaneWriter::plan(std::span<const OutgoingRecord> records) {
  Plan plan{0, committed_};
  for (const OutgoingRecord& record : records) {
    VALIDATE(
        static_cast<int64_t>(record.payload.size()) <= layout_.record_bytes, "a record is too long for its lane",
        std::to_string(record.payload.size()) + " bytes, the layout allows " + std::to_string(layout_.record_bytes),
        "this is a mistake in the task's layout: please report it");
    const int64_t size = lane::stored_bytes(static_cast<int64_t>(record.payload.size()));
    const int64_t rest = rest_of_ring(plan.end);
    const int64_t end = plan.end + (rest < size ? rest : 0) + size;
    if (end - committed_ > layout_.ring_bytes / 2 || !has_room(end)) break;
    plan.end = end;
    ++plan.count;
  }
  return plan;
}

bool LaneWriter::has_room(int64_t end) {
  if (!layout_.bounded || end <= consumed_ + layout_.ring_bytes) return true;
  uint64_t word = 0;
  window_->get(target_, layout_.offset + lane::consumed_at, std::as_writable_bytes(std::span(&word, 1)));
  window_->flush(target_);
  const auto consumed = static_cast<int64_t>(word);
  VALIDATE(
      consumed_ <= consumed && consumed <= committed_, "the reader's cursor of a lane is broken",
      std::to_string(consumed) + " after " + std::to_string(consumed_) + ", committed " + std::to_string(committed_),
      "memory or network damaged it: restart from the last checkpoint");
  consumed_ = consumed;
  return end <= consumed_ + layout_.ring_bytes;
}

void LaneWriter::publish(std::span<const OutgoingRecord> records, int64_t end, std::vector<std::byte>& scratch) {
  const auto reserved = static_cast<uint64_t>(end);
  window_->put(target_, layout_.offset + lane::reserved_at, std::as_bytes(std::span(&reserved, 1)));
  window_->flush(target_);
  put_records(records, scratch);
  window_->flush(target_);
  if (end - mark_ > layout_.ring_bytes / 2) mark_ = committed_;  // where this batch starts
  committed_ = end;
  const uint64_t words[2] = {static_cast<uint64_t>(committed_), static_cast<uint64_t>(mark_)};
  window_->put(target_, layout_.offset + lane::committed_at, std::as_bytes(std::span(words)));
  window_->flush(target_);
}

void LaneWriter::put_records(std::span<const OutgoingRecord> records, std::vector<std::byte>& scratch) {
  Gather gather(*window_, target_, layout_, scratch);
  int64_t position = committed_;
  for (const OutgoingRecord& record : records) {
    const auto length = static_cast<int64_t>(record.payload.size());
    const int64_t rest = rest_of_ring(position);
    if (rest < lane::stored_bytes(length)) {
      RecordHeader pad{0, ticket_, 0, static_cast<uint32_t>(rest), static_cast<uint32_t>(RecordKind::pad)};
      pad.checksum = lane::checksum(pad, hash_bytes({}));
      gather.add(position, std::as_bytes(std::span(&pad, 1)));
      gather.put(position + rest);
      position += rest;
    }
    RecordHeader header{0, ticket_++, record.version, static_cast<uint32_t>(length),
                        static_cast<uint32_t>(record.kind)};
    header.checksum = lane::checksum(header, hash_bytes(record.payload));
    gather.add(position, std::as_bytes(std::span(&header, 1)));
    const int64_t payload_at = position + static_cast<int64_t>(sizeof header);
    position += lane::stored_bytes(length);
    if (length >= put_alone_from) {
      window_->put(target_, layout_.ring_offset + payload_at % layout_.ring_bytes, record.payload);
      gather.put(position);
    } else {
      gather.add(payload_at, record.payload);
      gather.skip_to(position);
    }
  }
  gather.put();
}

}  // namespace tightrope
