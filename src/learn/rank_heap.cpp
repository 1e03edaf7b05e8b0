#include "tightrope/learn/rank_heap.hpp"

#include "tightrope/base/check.hpp"

namespace tightrope {

void RankHeap::put(size_t at, const Item& item, std::vector<int32_t>& place) {
  items_[at] = item;
  place[static_cast<size_t>(item.slot)] = static_cast<int32_t>(at);
}

void RankHeap::rise(size_t at, const Item& item, std::vector<int32_t>& place) {
  for (; at > 0 && item.rank < items_[(at - 1) / 2].rank; at = (at - 1) / 2) put(at, items_[(at - 1) / 2], place);
  put(at, item, place);
}

void RankHeap::sink(size_t at, const Item& item, std::vector<int32_t>& place) {
  for (size_t child = 2 * at + 1; child < items_.size(); child = 2 * at + 1) {
    if (child + 1 < items_.size() && items_[child + 1].rank < items_[child].rank) ++child;
    if (item.rank < items_[child].rank) break;
    put(at, items_[child], place);
    at = child;
  }
  put(at, item, place);
}

void RankHeap::push(const Rank& rank, int32_t slot, std::vector<int32_t>& place) {
  items_.emplace_back();
  rise(items_.size() - 1, {rank, slot}, place);
}

void RankHeap::erase(int32_t slot, std::vector<int32_t>& place) {
  const auto at = static_cast<size_t>(place[static_cast<size_t>(slot)]);
  EXPECT(at < items_.size() && items_[at].slot == slot);
  const Item last = items_.back();
  items_.pop_back();
  if (at == items_.size()) return;
  if (at > 0 && last.rank < items_[(at - 1) / 2].rank) {
    rise(at, last, place);
  } else {
    sink(at, last, place);
  }
}

}  // namespace tightrope
