#pragma once
// ReplayTree: the records of each query in order of (version, ticket), with counts and softmax masses of every
// subtree.  Treaps (Seidel and Aragon 1996) over one pool of nodes, one node per slot of the store.
// A node's priority is a hash of its ticket, so the shape, and with it every rounding of every sum, is a function of
// the records alone: a restored index draws the same records, bit for bit, as one that was never interrupted.
// All operations are O(log n) expected in the records of the query; none allocates but insert of a new slot.
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "tightrope/base/big_vector.hpp"

namespace tightrope {

// A sum of exponentials: scale + log(sum) is its logarithm.  Ranges of log rewards of thousands of nats neither
// overflow nor lose a part of the tree that is all small.
struct Mass {
  double scale = -std::numeric_limits<double>::infinity();  // largest exponent, nats
  double sum = 0;                                           // of exp(exponent - scale)
};

class ReplayTree {
 public:
  static constexpr int32_t none = -1;  // the root of an empty tree

  // `slot` becomes the record (version, ticket) of weight exp(exponent) in the tree of `root`.
  void insert(int32_t& root, int32_t slot, int64_t version, uint64_t ticket, double exponent);
  void erase(int32_t& root, int32_t slot);

  void reserve(int64_t slots) { nodes_.reserve(static_cast<size_t>(slots)); }
  // Many at once: put() gives slots their records, build() makes a tree of those of one query, which it sorts.  Answers
  // its root.  The tree is what inserting them one by one makes; linear in records that are in order.
  void put(int32_t slot, int64_t version, uint64_t ticket, double exponent);
  int32_t build(std::span<int32_t> slots);

  // An excluded record has no mass but keeps its place and still counts.
  void set_excluded(int32_t root, int32_t slot, bool excluded);
  bool excluded(int32_t slot) const { return nodes_[slot].excluded; }

  // Over the records with version >= from.
  int64_t count_from(int32_t root, int64_t from) const;
  Mass mass_from(int32_t root, int64_t from) const;
  // The record at the share u in (0, 1) of `total`, which must be mass_from(root, from); none where that is empty.
  int32_t pick(int32_t root, int64_t from, const Mass& total, double u) const;

  int64_t newest_version(int32_t root) const;  // root must not be none

 private:
  struct Node {
    int64_t version = 0;
    uint64_t ticket = 0;
    double exponent = 0;
    Mass mass;  // of the subtree
    int32_t left = none, right = none;
    int32_t count = 0;  // of the subtree
    bool excluded = false;
  };

  bool before(int32_t a, int32_t b) const;  // (version, ticket) ascending
  Mass own_mass(const Node& node) const;
  Mass mass(int32_t root) const { return root == none ? Mass{} : nodes_[root].mass; }
  int32_t count(int32_t root) const { return root == none ? 0 : nodes_[root].count; }
  void update(int32_t root);
  void split(int32_t root, int32_t at, int32_t& left, int32_t& right);
  int32_t merge(int32_t left, int32_t right);
  int32_t walk(int32_t root, int64_t from, double scale, double target) const;

  BigVector<Node> nodes_;  // [slot]
};

}  // namespace tightrope
