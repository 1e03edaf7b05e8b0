#include "tightrope/comm/weight_board.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "tightrope/base/bfloat16.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/hash.hpp"

namespace tightrope {
namespace {

constexpr int64_t buffers = 3;
constexpr int64_t line_bytes = 64;
constexpr int attempts = 4;

int64_t round_up(int64_t bytes) { return (bytes + line_bytes - 1) / line_bytes * line_bytes; }

}  // namespace

// Self-checking: readers take it with one get, torn copies fail the checksum.
struct WeightBoard::ControlBlock {
  int64_t version = -1, phase = 0, step = 0, stop = 0;
  int64_t published = 0;  // the buffer of `version` is (published - 1) mod 3
  uint64_t checksum = 0;

  uint64_t expected() const {
    return hash_bytes(std::as_bytes(std::span(this, 1)).first(offsetof(ControlBlock, checksum)));
  }
};

struct WeightBoard::Stamps {
  uint64_t stamp;  // odd: being written
  int64_t version;
};

int64_t WeightBoard::packed_bytes() const { return values_ * (precision_ == Precision::float32 ? 4 : 2); }
int64_t WeightBoard::chunks() const { return (packed_bytes() + chunk_bytes_ - 1) / chunk_bytes_; }
int64_t WeightBoard::data_offset() const {
  return round_up(static_cast<int64_t>(sizeof(Stamps)) + chunks() * static_cast<int64_t>(sizeof(uint64_t)));
}
int64_t WeightBoard::buffer_bytes() const { return data_offset() + round_up(packed_bytes()); }
int64_t WeightBoard::buffer_offset(int64_t number) const { return line_bytes + number % buffers * buffer_bytes(); }

int64_t WeightBoard::bytes_for(int64_t values, Precision precision) {
  constexpr int64_t chunk = 1 << 20;
  const int64_t bytes = (precision == Precision::float32 ? 4 : 2) * values, chunks = (bytes + chunk - 1) / chunk;
  return line_bytes + buffers * (round_up(static_cast<int64_t>(sizeof(Stamps)) + 8 * chunks) + round_up(bytes));
}

WeightBoard::WeightBoard(const mpi::Comm& comm, int publisher, int64_t values, Precision precision, int64_t chunk_bytes)
    : publisher_(publisher),
      values_(values),
      precision_(precision),
      chunk_bytes_(round_up(chunk_bytes)),
      window_(comm, comm.rank() == publisher ? buffer_offset(buffers - 1) + buffer_bytes() : 0) {
  static_assert(sizeof(ControlBlock) <= line_bytes);
  checksums_.resize(static_cast<size_t>(chunks()));
  if (comm.rank() == publisher_) set_control({});
  comm.barrier();
}

std::span<std::byte> WeightBoard::buffer(int64_t number) {
  return window_.local().subspan(static_cast<size_t>(buffer_offset(number)), static_cast<size_t>(buffer_bytes()));
}

void WeightBoard::publish(int64_t version, std::span<const float> weights) {
  EXPECT(window_.rank() == publisher_ && static_cast<int64_t>(weights.size()) == values_);
  const std::span<std::byte> target = buffer(published_++);
  std::atomic_ref stamp(*reinterpret_cast<uint64_t*>(target.data()));
  stamp.store(stamp.load() + 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // odd before the first byte
  std::memcpy(target.data() + offsetof(Stamps, version), &version, sizeof version);
  std::byte* data = target.data() + data_offset();
  const int64_t value_bytes = packed_bytes() / std::max<int64_t>(values_, 1);
  for (int64_t c = 0; c < chunks(); ++c) {  // chunk by chunk: the checksum finds it in the cache
    const int64_t first = c * chunk_bytes_ / value_bytes;
    const int64_t count = std::min(chunk_bytes_ / value_bytes, values_ - first);
    std::byte* chunk = data + c * chunk_bytes_;
    if (precision_ == Precision::float32) {
      std::memcpy(chunk, weights.data() + first, static_cast<size_t>(count * value_bytes));
    } else {
      to_bfloat16(weights.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                  {reinterpret_cast<uint16_t*>(chunk), static_cast<size_t>(count)});
    }
    const uint64_t checksum = hash_bytes({chunk, static_cast<size_t>(count * value_bytes)});
    std::memcpy(target.data() + sizeof(Stamps) + static_cast<size_t>(c) * sizeof checksum, &checksum, sizeof checksum);
  }
  stamp.store(stamp.load() + 1);
  window_.sync();
}

void WeightBoard::set_control(const Control& control) {
  ControlBlock block{control.version, control.phase, control.step, control.stop ? 1 : 0, published_, 0};
  block.checksum = block.expected();
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the weights before the word that names them
  std::memcpy(window_.local().data(), &block, sizeof block);
  window_.sync();
}

// A copy is torn only while the publisher stores these 48 bytes: the next one is whole.
WeightBoard::ControlBlock WeightBoard::read_control() {
  ControlBlock block;
  for (int attempt = 0; attempt < 30000; ++attempt) {
    window_.get(publisher_, 0, std::as_writable_bytes(std::span(&block, 1)));
    window_.flush(publisher_);
    if (block.checksum == block.expected()) return block;
    // The publisher was stopped in the middle: on a crowded node it may be long before it goes on.
    if (attempt > 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  throw Failure("the run's control words are damaged", "their checksum has failed for half a minute",
                "memory or network damaged them: restart from the last checkpoint");
}

WeightBoard::Control WeightBoard::control() {
  const ControlBlock block = read_control();
  return {block.version, block.phase, block.step, block.stop != 0};
}

std::optional<int64_t> WeightBoard::refresh(int64_t have, std::span<float> weights) {
  EXPECT(static_cast<int64_t>(weights.size()) == values_);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const ControlBlock block = read_control();
    if (block.version <= have || block.published == 0) return std::nullopt;
    if (!fetch(block.published - 1, block.version)) {
      ++retries_;
      continue;
    }
    if (precision_ == Precision::float32) {
      std::memcpy(weights.data(), scratch_.data(), static_cast<size_t>(packed_bytes()));
    } else {
      from_bfloat16({reinterpret_cast<const uint16_t*>(scratch_.data()), weights.size()}, weights);
    }
    return block.version;
  }
  return std::nullopt;
}

bool WeightBoard::fetch(int64_t number, int64_t version) {
  const int64_t at = buffer_offset(number);
  Stamps before{}, after{};
  window_.get(publisher_, at, std::as_writable_bytes(std::span(&before, 1)));
  window_.get(publisher_, at + static_cast<int64_t>(sizeof before), std::as_writable_bytes(std::span(checksums_)));
  window_.flush(publisher_);
  if (before.stamp % 2 == 1 || before.version != version) return false;
  scratch_.resize(static_cast<size_t>(packed_bytes()));
  for (int64_t c = 0; c < chunks(); ++c) {
    const int64_t first = c * chunk_bytes_;
    const auto chunk = std::span(scratch_).subspan(static_cast<size_t>(first),
                                                   static_cast<size_t>(std::min(chunk_bytes_, packed_bytes() - first)));
    window_.get(publisher_, at + data_offset() + first, chunk);
    window_.flush(publisher_);
    if (hash_bytes(chunk) != checksums_[static_cast<size_t>(c)]) return false;
  }
  window_.get(publisher_, at, std::as_writable_bytes(std::span(&after, 1)));
  window_.flush(publisher_);
  return after.stamp == before.stamp && after.version == version;
}

}  // namespace tightrope
