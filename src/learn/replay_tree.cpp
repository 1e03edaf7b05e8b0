#include "tightrope/learn/replay_tree.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

// The finaliser of SplitMix64 (Steele et al. 2014): a bijection, so priorities of different tickets differ.
uint64_t priority(uint64_t ticket) {
  uint64_t z = ticket + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// `mass` in units of exp(scale), scale >= mass.scale.  Equal scales, as in every uniform draw, cost no exponential.
double in_units(const Mass& mass, double scale) {
  if (mass.scale == scale) return mass.sum;
  return mass.sum == 0 ? 0 : mass.sum * std::exp(mass.scale - scale);
}

Mass operator+(const Mass& a, const Mass& b) {
  const double scale = a.scale > b.scale ? a.scale : b.scale;
  return {scale, in_units(a, scale) + in_units(b, scale)};
}

}  // namespace

bool ReplayTree::before(int32_t a, int32_t b) const {
  return std::tie(nodes_[a].version, nodes_[a].ticket) < std::tie(nodes_[b].version, nodes_[b].ticket);
}

Mass ReplayTree::own_mass(const Node& node) const { return node.excluded ? Mass{} : Mass{node.exponent, 1}; }

void ReplayTree::update(int32_t root) {
  Node& node = nodes_[root];
  node.count = count(node.left) + 1 + count(node.right);
  node.mass = mass(node.left) + own_mass(node) + mass(node.right);
}

// Records before `at` go left, the others right.
void ReplayTree::split(int32_t root, int32_t at, int32_t& left, int32_t& right) {
  if (root == none) {
    left = right = none;
    return;
  }
  if (before(root, at)) {
    int32_t rest = none;
    split(nodes_[root].right, at, nodes_[root].right, rest);
    left = root;
    right = rest;
  } else {
    int32_t rest = none;
    split(nodes_[root].left, at, rest, nodes_[root].left);
    left = rest;
    right = root;
  }
  update(root);
}

int32_t ReplayTree::merge(int32_t left, int32_t right) {
  if (left == none) return right;
  if (right == none) return left;
  int32_t root = none;
  if (priority(nodes_[left].ticket) > priority(nodes_[right].ticket)) {
    root = left;
    nodes_[left].right = merge(nodes_[left].right, right);
  } else {
    root = right;
    nodes_[right].left = merge(left, nodes_[right].left);
  }
  update(root);
  return root;
}

void ReplayTree::put(int32_t slot, int64_t version, uint64_t ticket, double exponent) {
  if (slot >= static_cast<int32_t>(nodes_.size())) nodes_.resize(slot + 1);
  nodes_[slot] = {version, ticket, exponent, {}, none, none, 0, false};
}

// From the oldest to the newest; `spine` goes from the root to the newest so far, and what is off it is complete.
int32_t ReplayTree::build(std::span<int32_t> slots) {
  const auto order = [this](int32_t a, int32_t b) { return before(a, b); };
  if (!std::ranges::is_sorted(slots, order)) std::ranges::sort(slots, order);
  std::vector<int32_t> spine;
  const auto complete = [&] {
    const int32_t last = spine.back();
    update(last);
    spine.pop_back();
    return last;
  };
  for (const int32_t slot : slots) {
    const uint64_t mine = priority(nodes_[slot].ticket);
    int32_t older = none;
    while (!spine.empty() && priority(nodes_[spine.back()].ticket) < mine) older = complete();
    nodes_[slot].left = older;
    if (!spine.empty()) nodes_[spine.back()].right = slot;
    spine.push_back(slot);
  }
  int32_t root = none;
  while (!spine.empty()) root = complete();
  return root;
}

void ReplayTree::insert(int32_t& root, int32_t slot, int64_t version, uint64_t ticket, double exponent) {
  put(slot, version, ticket, exponent);
  const auto descend = [&](auto& self, int32_t& at) -> void {
    if (at == none || priority(ticket) > priority(nodes_[at].ticket)) {
      int32_t left = none, right = none;
      split(at, slot, left, right);
      nodes_[slot].left = left;
      nodes_[slot].right = right;
      at = slot;
    } else {
      self(self, before(slot, at) ? nodes_[at].left : nodes_[at].right);
    }
    update(at);
  };
  descend(descend, root);
}

void ReplayTree::erase(int32_t& root, int32_t slot) {
  EXPECT(root != none);
  if (root == slot) {
    root = merge(nodes_[slot].left, nodes_[slot].right);
    return;
  }
  erase(before(slot, root) ? nodes_[root].left : nodes_[root].right, slot);
  update(root);
}

void ReplayTree::set_excluded(int32_t root, int32_t slot, bool excluded) {
  EXPECT(root != none);
  if (root == slot) {
    nodes_[slot].excluded = excluded;
  } else {
    set_excluded(before(slot, root) ? nodes_[root].left : nodes_[root].right, slot, excluded);
  }
  update(root);
}

int64_t ReplayTree::count_from(int32_t root, int64_t from) const {
  int64_t found = 0;
  while (root != none) {
    const Node& node = nodes_[root];
    if (node.version >= from) found += 1 + count(node.right);
    root = node.version >= from ? node.left : node.right;
  }
  return found;
}

Mass ReplayTree::mass_from(int32_t root, int64_t from) const {
  Mass found;
  while (root != none) {
    const Node& node = nodes_[root];
    if (node.version >= from) found = found + own_mass(node) + mass(node.right);
    root = node.version >= from ? node.left : node.right;
  }
  return found;
}

// From the newest record backwards, so that any target below the mass of the newest ones stays among them.
int32_t ReplayTree::walk(int32_t root, int64_t from, double scale, double target) const {
  while (root != none) {
    const Node& node = nodes_[root];
    if (node.version < from) {
      root = node.right;
      continue;
    }
    const double newer = in_units(mass(node.right), scale);
    if (target < newer) {
      root = node.right;
      continue;
    }
    target -= newer;
    const double own = in_units(own_mass(node), scale);
    if (target < own) return root;
    target -= own;
    root = node.left;
  }
  return none;
}

int32_t ReplayTree::pick(int32_t root, int64_t from, const Mass& total, double u) const {
  if (total.sum == 0) return none;
  const int32_t found = walk(root, from, total.scale, u * total.sum);
  // Rounding can push a share next to 1 past the last record: then the first one with mass, as if u had wrapped.
  return found != none ? found : walk(root, from, total.scale, 0);
}

int64_t ReplayTree::newest_version(int32_t root) const {
  while (nodes_[root].right != none) root = nodes_[root].right;
  return nodes_[root].version;
}

}  // namespace tightrope
