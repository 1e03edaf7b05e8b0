#include "tightrope/policies/token_tree.hpp"

#include <algorithm>
#include <numeric>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Fills `segments` from the other three.
void find_segments(TokenTree& tree) {
  const auto nodes = static_cast<int32_t>(tree.nodes());
  std::vector<int32_t> end(tree.token.size()), children(tree.token.size());
  for (int32_t row = nodes - 1; row >= 0; --row) {
    end[row] = std::max(end[row], row + 1);
    const int32_t parent = tree.parent[row];
    if (parent < 0) continue;
    end[parent] = std::max(end[parent], end[row]);
    ++children[parent];
  }
  tree.segments.clear();
  for (int32_t row = 0; row < nodes; ++row) {
    const bool only_child = row > 0 && tree.parent[row] == row - 1 && children[row - 1] == 1;
    if (only_child && row - tree.segments.back().begin < TokenTree::kSegmentRows) {
      tree.segments.back().end = row + 1;
    } else {
      tree.segments.push_back({row, row + 1, end[row], tree.position[row]});
    }
  }
}

// Appends the nodes of `tokens` beyond the first `shared`, which are those of `path` (rows, by position).
void append(TokenTree& tree, std::span<const int32_t> tokens, size_t shared, std::vector<int32_t>& path) {
  path.resize(shared);
  for (size_t i = shared; i < tokens.size(); ++i) {
    tree.parent.push_back(path.empty() ? -1 : path.back());
    path.push_back(static_cast<int32_t>(tree.token.size()));
    tree.token.push_back(tokens[i]);
    tree.position.push_back(static_cast<int32_t>(i));
  }
}

}  // namespace

int64_t TokenTree::depth() const { return position.empty() ? 0 : 1 + int64_t{std::ranges::max(position)}; }

TokenTree make_token_tree(std::span<const PredictedSequence> sequences, Predictions& predictions) {
  const auto prefix = [&](size_t b) { return sequences[b].tokens.first(sequences[b].tokens.size() - 1); };
  predictions = {};
  predictions.first.push_back(0);
  for (const PredictedSequence& sequence : sequences) {
    const auto length = static_cast<int64_t>(sequence.tokens.size());
    EXPECT(sequence.given >= 1 && sequence.given <= length);
    predictions.first.push_back(predictions.first.back() + length - sequence.given);
  }
  predictions.row.resize(static_cast<size_t>(predictions.first.back()));
  predictions.target.resize(predictions.row.size());

  // In lexicographic order every sequence shares with the tree so far what it shares with the one before it, and
  // appending the rest keeps the nodes depth first.
  std::vector<size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order,
                    [&](size_t a, size_t b) { return std::ranges::lexicographical_compare(prefix(a), prefix(b)); });
  TokenTree tree;
  std::vector<int32_t> path;
  std::span<const int32_t> before;
  for (const size_t b : order) {
    append(tree, prefix(b), common_prefix(before, prefix(b)), path);
    before = prefix(b);
    auto out = static_cast<size_t>(predictions.first[b]);
    for (auto i = static_cast<size_t>(sequences[b].given); i < sequences[b].tokens.size(); ++i, ++out) {
      predictions.row[out] = path[i - 1];
      predictions.target[out] = sequences[b].tokens[i];
    }
  }
  find_segments(tree);
  return tree;
}

std::vector<int64_t> cut_tree(const TokenTree& tree, int64_t max_nodes) {
  const int64_t nodes = tree.nodes(), bound = max_nodes == 0 ? nodes : std::max(max_nodes, 2 * tree.depth());
  std::vector<int64_t> cut{0};
  while (cut.back() < nodes) {
    const int64_t begin = cut.back(), room = bound - tree.position[begin];
    int64_t end = nodes;
    if (begin + room < nodes) {
      // The ancestors of the next range are computed again, so of the last half of the room the place with fewest.
      end = begin + room;
      for (int64_t row = end; row > begin + room / 2; --row)
        if (tree.position[row] < tree.position[end]) end = row;
    }
    cut.push_back(end);
  }
  return cut;
}

TokenTree part_of_tree(const TokenTree& tree, int64_t begin, int64_t end) {
  EXPECT(begin >= 0 && begin < end && end <= tree.nodes());
  const int32_t above = tree.position[begin], shift = static_cast<int32_t>(begin) - above;
  TokenTree part;
  part.token.resize(static_cast<size_t>(above));
  part.position.resize(part.token.size());
  part.parent.resize(part.token.size());
  for (int32_t row = tree.parent[begin], i = above - 1; i >= 0; row = tree.parent[row], --i) {
    part.token[i] = tree.token[row];
    part.position[i] = i;
    part.parent[i] = i - 1;
  }
  for (int64_t row = begin; row < end; ++row) {
    const int32_t parent = tree.parent[row];
    part.token.push_back(tree.token[row]);
    part.position.push_back(tree.position[row]);
    part.parent.push_back(parent < begin ? (parent < 0 ? -1 : tree.position[parent]) : parent - shift);
  }
  find_segments(part);
  return part;
}

}  // namespace tightrope
