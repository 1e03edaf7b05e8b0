#pragma once
// Batch: B trajectories of at most T transitions, the only thing that travels between roles.
// On the wire a trajectory is a record: narrow, unpadded, 8-byte aligned (pack, unpack).
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tightrope {

using at::Tensor;

// What one trajectory of a task may hold; the same on all ranks.
struct Layout {
  int64_t max_length = 0;               // T: most transitions
  int64_t action_width = 1;             // A: integers per transition; 0 = no actions
  int64_t action_values = 0;            // every action is in [0, action_values); sets the packed width
  int64_t value_width = 0;              // D: floats per transition; 0 = none
  bool log_ref_per_transition = false;  // log_ref is (B,T) float32 instead of (B) float64
  bool log_behaviour = false;           // records carry the log-prob under the sampling weights
  std::vector<std::string> reward_parts = {"log_reward"};  // P names; their sum is log R (nats)

  int64_t max_record_bytes() const;  // of the longest record
};

struct Batch {
  Tensor query;          // (B) int64    condition id
  Tensor group;          // (B) int64    set by the draw: the K trajectories of one query; never split
  Tensor id;             // (B) int64    sample_id(query, visit, k): names the sample for good
  Tensor length;         // (B) int64    transitions; never inferred from padding
  Tensor actions;        // (B,T) or (B,T,A) int64; zero beyond length; undefined where the task has none
  Tensor values;         // (B,T,D) float32; undefined where the task has none
  Tensor log_ref;        // (B) float64, or (B,T) float32 where the layout asks; nats
  Tensor log_behaviour;  // (B) float64, or undefined
  Tensor reward;         // (B,P) float32 parts of log R, nats
  Tensor version;        // (B,3) int64  weights, reference and reward that made it
  Tensor finish;         // (B) int8     why it ended
  Tensor entropy;        // (B) float32  nats, of the policy's choices along the way; or undefined.  Not packed

  int64_t size() const { return id.defined() ? id.size(0) : 0; }
  Tensor log_reward() const;  // (B) float64: the sum of the parts
};

enum class Finish : int8_t { terminal = 0, truncated = 1 };

// The fixed head of every record: all that an index needs to know about it.
struct RecordHead {
  int64_t query;
  int64_t id;
  int64_t version;    // of the weights
  uint64_t content;   // hash of (query, actions, values): equal for equal trajectories
  double log_reward;  // nats
  int64_t length;     // transitions
};

// Appends record `row` of the batch to `out`; what was appended is a multiple of 8 bytes.
void pack(const Layout& layout, const Batch& batch, int64_t row, std::vector<std::byte>& out);

// The head of a packed record.  Throws Failure where the bytes cannot be a record of this layout.
RecordHead record_head(const Layout& layout, std::span<const std::byte> record);

// The records as a batch, T the longest of them, in the order given; `group` is left to the caller.
Batch unpack(const Layout& layout, std::span<const std::span<const std::byte>> records);

// Rows of a batch, in the order given.
Batch select(const Batch& batch, const Tensor& rows);

// Several batches of one layout as one; T the longest of them.
Batch concatenate(std::span<const Batch> batches);

}  // namespace tightrope
