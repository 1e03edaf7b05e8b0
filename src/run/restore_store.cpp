// From a checkpoint into a store.
#include <utility>

#include "tightrope/comm/replay_window.hpp"
#include "tightrope/run/checkpoint.hpp"

namespace tightrope {

void restore_store(CheckpointData& data, ReplayIndex& index, ReplayWindow& window) {
  std::vector<int64_t> slots;  // of the records, in the order in which they lie
  slots.reserve(data.index.entries.size());
  for (const IndexEntry& entry : data.index.entries) slots.push_back(entry.slot);
  index.restore(std::move(data.index));
  data.check_records();
  for (size_t i = 0; i < slots.size(); ++i) window.write(slots[i], index.at(slots[i]).ticket, data.record(i));
}

}  // namespace tightrope
