#pragma once
// RankHeap: slots by rank, the least first.  A binary heap that knows where each slot is.  Pure.
// push of what outranks all others O(1), else O(log n); erase O(log n); worst O(1).
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "tightrope/base/big_vector.hpp"

namespace tightrope {

class RankHeap {
 public:
  using Rank = std::tuple<double, int64_t, uint64_t>;  // worth, version, ticket: different for different slots

  // `place` is indexed by slot, and written for this heap's slots alone: heaps of disjoint slots can share one.
  void push(const Rank& rank, int32_t slot, std::vector<int32_t>& place);
  void erase(int32_t slot, std::vector<int32_t>& place);  // a slot that is in it

  struct Item {
    Rank rank;
    int32_t slot = 0;
  };
  const Item& worst() const { return items_.front(); }  // size() > 0
  int64_t size() const { return static_cast<int64_t>(items_.size()); }
  void reserve(int64_t items) { items_.reserve(static_cast<size_t>(items)); }

 private:
  void put(size_t at, const Item& item, std::vector<int32_t>& place);
  void rise(size_t at, const Item& item, std::vector<int32_t>& place);  // `at` is free
  void sink(size_t at, const Item& item, std::vector<int32_t>& place);
  BigVector<Item> items_;
};

}  // namespace tightrope
