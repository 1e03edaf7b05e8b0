// The record format: a fixed head, then log_ref, log_behaviour, reward parts, values and actions, each unpadded and
// as narrow as the layout allows, the whole a multiple of 8 bytes.
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tightrope/base/check.hpp"
#include "tightrope/core/batch.hpp"

namespace tightrope {
namespace {

struct WireHead {
  int64_t query, id;
  int64_t version[3];
  uint64_t content;
  double log_reward;
  int32_t length;
  int32_t finish;
};
static_assert(sizeof(WireHead) == 64);

int64_t action_bytes(const Layout& layout) {
  if (layout.action_values <= 1 << 8) return 1;
  if (layout.action_values <= 1 << 16) return 2;
  return 4;
}

int64_t rounded(int64_t bytes) { return (bytes + 7) / 8 * 8; }

int64_t record_bytes(const Layout& layout, int64_t length) {
  const int64_t reference = layout.log_ref_per_transition ? 4 * length : 8;
  const int64_t behaviour = layout.log_behaviour ? 8 : 0;
  const auto parts = static_cast<int64_t>(layout.reward_parts.size());
  return rounded(static_cast<int64_t>(sizeof(WireHead)) + reference + behaviour + 4 * parts +
                 length * (4 * layout.value_width + action_bytes(layout) * layout.action_width));
}

template <class T>
const T* row_of(const Tensor& field, int64_t row) {
  return field.const_data_ptr<T>() + row * field.stride(0);
}

template <class Narrow>
void narrow(const int64_t* values, int64_t count, std::byte* out) {
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<Narrow>(values[i]);
    std::memcpy(out + i * static_cast<int64_t>(sizeof value), &value, sizeof value);
  }
}

template <class Narrow>
void widen(const std::byte* in, int64_t count, int64_t* values) {
  for (int64_t i = 0; i < count; ++i) {
    Narrow value;
    std::memcpy(&value, in + i * static_cast<int64_t>(sizeof value), sizeof value);
    values[i] = static_cast<int64_t>(value);
  }
}

void narrow_actions(int64_t bytes, const int64_t* values, int64_t count, std::byte* out) {
  if (bytes == 1) return narrow<uint8_t>(values, count, out);
  if (bytes == 2) return narrow<uint16_t>(values, count, out);
  narrow<uint32_t>(values, count, out);
}

void widen_actions(int64_t bytes, const std::byte* in, int64_t count, int64_t* values) {
  if (bytes == 1) return widen<uint8_t>(in, count, values);
  if (bytes == 2) return widen<uint16_t>(in, count, values);
  widen<uint32_t>(in, count, values);
}

// A moving place in a record.
struct Cursor {
  std::byte* at;
  void put(const void* data, int64_t bytes) {
    std::memcpy(at, data, static_cast<size_t>(bytes));
    at += bytes;
  }
};

struct Source {
  const std::byte* at;
  void take(void* data, int64_t bytes) {
    std::memcpy(data, at, static_cast<size_t>(bytes));
    at += bytes;
  }
};

uint64_t content_hash(int64_t query, const std::byte* actions, int64_t bytes, const float* values, int64_t count) {
  uint64_t hash = XXH3_64bits_withSeed(actions, static_cast<size_t>(bytes), static_cast<uint64_t>(query));
  if (count > 0) hash = XXH3_64bits_withSeed(values, static_cast<size_t>(4 * count), hash);
  return hash;
}

WireHead wire_head(const Batch& batch, int64_t row) {
  WireHead head{};
  head.query = *row_of<int64_t>(batch.query, row);
  head.id = *row_of<int64_t>(batch.id, row);
  std::copy_n(row_of<int64_t>(batch.version, row), 3, head.version);
  const float* parts = row_of<float>(batch.reward, row);
  head.log_reward = std::accumulate(parts, parts + batch.reward.size(1), 0.0);
  head.length = static_cast<int32_t>(*row_of<int64_t>(batch.length, row));
  head.finish = *row_of<int8_t>(batch.finish, row);
  return head;
}

WireHead checked_head(const Layout& layout, std::span<const std::byte> record) {
  const char* what = "the deck of the writer and of the reader must be one: please report it";
  VALIDATE(record.size() >= sizeof(WireHead), "a record is too short", std::to_string(record.size()) + " bytes", what);
  WireHead head;
  std::memcpy(&head, record.data(), sizeof head);
  VALIDATE(head.length >= 0 && head.length <= layout.max_length &&
               record_bytes(layout, head.length) == static_cast<int64_t>(record.size()),
           "a record does not fit its layout",
           "length " + std::to_string(head.length) + " in " + std::to_string(record.size()) + " bytes", what);
  return head;
}

Batch empty_batch(const Layout& layout, int64_t size, int64_t longest) {
  const auto integers = at::TensorOptions(at::kLong);
  const auto floats = at::TensorOptions(at::kFloat);
  Batch batch;
  batch.query = at::empty({size}, integers);
  batch.id = at::empty({size}, integers);
  batch.length = at::empty({size}, integers);
  if (layout.action_width > 0) {
    batch.actions = layout.action_width == 1 ? at::zeros({size, longest}, integers)
                                             : at::zeros({size, longest, layout.action_width}, integers);
  }
  if (layout.value_width > 0) batch.values = at::zeros({size, longest, layout.value_width}, floats);
  batch.log_ref = layout.log_ref_per_transition ? at::zeros({size, longest}, floats)
                                                : at::empty({size}, at::TensorOptions(at::kDouble));
  if (layout.log_behaviour) batch.log_behaviour = at::empty({size}, at::TensorOptions(at::kDouble));
  batch.reward = at::empty({size, static_cast<int64_t>(layout.reward_parts.size())}, floats);
  batch.version = at::empty({size, 3}, integers);
  batch.finish = at::empty({size}, at::TensorOptions(at::kChar));
  return batch;
}

template <class T>
T* mutable_row(const Tensor& field, int64_t row) {
  return field.mutable_data_ptr<T>() + row * field.stride(0);
}

void unpack_row(const Layout& layout, const WireHead& head, std::span<const std::byte> record, Batch& batch,
                int64_t row) {
  *mutable_row<int64_t>(batch.query, row) = head.query;
  *mutable_row<int64_t>(batch.id, row) = head.id;
  *mutable_row<int64_t>(batch.length, row) = head.length;
  *mutable_row<int8_t>(batch.finish, row) = static_cast<int8_t>(head.finish);
  std::copy_n(head.version, 3, mutable_row<int64_t>(batch.version, row));
  Source source{record.data() + sizeof(WireHead)};
  if (layout.log_ref_per_transition) {
    source.take(mutable_row<float>(batch.log_ref, row), 4 * head.length);
  } else {
    source.take(mutable_row<double>(batch.log_ref, row), 8);
  }
  if (layout.log_behaviour) source.take(mutable_row<double>(batch.log_behaviour, row), 8);
  source.take(mutable_row<float>(batch.reward, row), 4 * batch.reward.size(1));
  if (layout.value_width > 0) source.take(mutable_row<float>(batch.values, row), 4 * head.length * layout.value_width);
  if (layout.action_width > 0)
    widen_actions(action_bytes(layout), source.at, head.length * layout.action_width,
                  mutable_row<int64_t>(batch.actions, row));
}

}  // namespace

int64_t Layout::max_record_bytes() const { return record_bytes(*this, max_length); }

void pack(const Layout& layout, const Batch& batch, int64_t row, std::vector<std::byte>& out) {
  WireHead head = wire_head(batch, row);
  const size_t start = out.size();
  out.resize(start + static_cast<size_t>(record_bytes(layout, head.length)));
  std::byte* const record = out.data() + start;
  Cursor cursor{record + sizeof(WireHead)};
  if (layout.log_ref_per_transition) {
    cursor.put(row_of<float>(batch.log_ref, row), 4 * head.length);
  } else {
    cursor.put(row_of<double>(batch.log_ref, row), 8);
  }
  if (layout.log_behaviour) cursor.put(row_of<double>(batch.log_behaviour, row), 8);
  cursor.put(row_of<float>(batch.reward, row), 4 * batch.reward.size(1));
  const int64_t value_count = head.length * layout.value_width;
  const float* values = value_count > 0 ? row_of<float>(batch.values, row) : nullptr;
  if (value_count > 0) cursor.put(values, 4 * value_count);
  const int64_t action_count = head.length * layout.action_width;
  const std::byte* const actions = cursor.at;
  if (action_count > 0)
    narrow_actions(action_bytes(layout), row_of<int64_t>(batch.actions, row), action_count, cursor.at);
  head.content = content_hash(head.query, actions, action_count * action_bytes(layout), values, value_count);
  std::memcpy(record, &head, sizeof head);
}

RecordHead record_head(const Layout& layout, std::span<const std::byte> record) {
  const WireHead head = checked_head(layout, record);
  return {head.query, head.id, head.version[0], head.content, head.log_reward, head.length};
}

Batch unpack(const Layout& layout, std::span<const std::span<const std::byte>> records) {
  std::vector<WireHead> heads;
  heads.reserve(records.size());
  int64_t longest = 0;
  for (const auto record : records) {
    heads.push_back(checked_head(layout, record));
    longest = std::max<int64_t>(longest, heads.back().length);
  }
  Batch batch = empty_batch(layout, static_cast<int64_t>(records.size()), longest);
  for (size_t i = 0; i < records.size(); ++i) unpack_row(layout, heads[i], records[i], batch, static_cast<int64_t>(i));
  return batch;
}

}  // namespace tightrope
