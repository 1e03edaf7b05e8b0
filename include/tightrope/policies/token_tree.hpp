#pragma once
// TokenTree: token sequences as a trie, so that a network over prefixes computes each distinct prefix once.
// A node is a token in the context of its ancestors: the samples of a prompt share its nodes, prompts share the
// examples in front of them, equal samples are one.  Nodes lie depth first, so the descendants of a node are the rows
// that follow it, and a chain without branches (a segment) is attended to by one contiguous block of rows.
// Knows no Torch.
#include <cstdint>
#include <span>
#include <vector>

namespace tightrope {

struct TokenTree {
  // Rows [begin, end), each the only child of the one before it, at positions depth, depth + 1, ...
  // Exactly the rows [begin, subtree_end) lie at or below its first row.
  struct Segment {
    int32_t begin = 0, end = 0, subtree_end = 0, depth = 0;
  };
  // Longer chains are cut: attention computes a segment's own square in full and uses its lower triangle.
  static constexpr int32_t kSegmentRows = 64;

  std::vector<int32_t> token;     // (N)
  std::vector<int32_t> position;  // (N) number of ancestors
  std::vector<int32_t> parent;    // (N) row; -1 = none
  std::vector<Segment> segments;  // by `begin`

  int64_t nodes() const { return static_cast<int64_t>(token.size()); }
  int64_t depth() const;  // positions: 1 + the largest; 0 of an empty tree
};

// A sequence of which the tokens after the first `given` are predicted.
struct PredictedSequence {
  std::span<const int32_t> tokens;
  int64_t given = 1;  // at least 1, at most all
};

// predictions [first[b], first[b + 1]) are those of sequence b, in order: `target` follows the prefix that ends in
// `row`
struct Predictions {
  std::vector<int64_t> first;        // (B + 1)
  std::vector<int64_t> row, target;  // (R)
};

// The tree of all sequences without their last tokens, which nothing follows.  It depends on the set of prefixes alone,
// not on the order of the sequences.
TokenTree make_token_tree(std::span<const PredictedSequence> sequences, Predictions& predictions);

// Cuts the rows into consecutive ranges [cut[i], cut[i + 1]), each of which, with the ancestors of its first row, has
// at most max_nodes nodes, or twice the tree's depth where that is more.  0 = no bound: one range.
std::vector<int64_t> cut_tree(const TokenTree& tree, int64_t max_nodes);

// The tree of the rows [begin, end), preceded by the ancestors of `begin`, of which there are position[begin]: row r of
// the whole is row r - begin + position[begin] of the part.
TokenTree part_of_tree(const TokenTree& tree, int64_t begin, int64_t end);

}  // namespace tightrope
