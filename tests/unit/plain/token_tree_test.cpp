#include "tightrope/policies/token_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace tightrope {
namespace {

using Tokens = std::vector<int32_t>;

struct Sample {
  Tokens tokens;
  int64_t given = 1;
};

struct Built {
  TokenTree tree;
  Predictions predictions;
};

Built build(const std::vector<Sample>& samples) {
  std::vector<PredictedSequence> views;
  for (const Sample& sample : samples) views.push_back({sample.tokens, sample.given});
  Built out;
  out.tree = make_token_tree(views, out.predictions);
  return out;
}

// Few letters, so that samples share much; some longer than two segments.
std::vector<Sample> random_samples(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Sample> samples;
  for (int i = 0; i < 20; ++i) {
    Sample sample;
    if (i > 0) {
      sample = samples.back();
      sample.tokens.resize(random() % sample.tokens.size());
    }
    for (size_t more = 1 + random() % (i % 3 == 0 ? 150 : 6); more > 0; --more) sample.tokens.push_back(random() % 3);
    sample.given = 1 + static_cast<int64_t>(random() % sample.tokens.size());
    samples.push_back(sample);
  }
  samples.push_back(samples[3]);
  return samples;
}

// The tokens from the root to a row.
Tokens path(const TokenTree& tree, int64_t row) {
  Tokens tokens;
  for (; row >= 0; row = tree.parent[row]) tokens.insert(tokens.begin(), tree.token[row]);
  return tokens;
}

void expect_depth_first(const TokenTree& tree) {
  for (int32_t row = 0; row < tree.nodes(); ++row) {
    const int32_t parent = tree.parent[row];
    ASSERT_LT(parent, row);
    EXPECT_EQ(tree.position[row], parent < 0 ? 0 : tree.position[parent] + 1);
    // Depth first: the parent is the row before or one of its ancestors.
    int32_t above = row - 1;
    while (above >= 0 && above != parent) above = tree.parent[above];
    EXPECT_EQ(above, parent);
  }
}

void expect_segments(const TokenTree& tree) {
  int32_t next = 0;
  for (const TokenTree::Segment& s : tree.segments) {
    EXPECT_EQ(s.begin, next);
    ASSERT_LT(s.begin, s.end);
    EXPECT_LE(s.end - s.begin, TokenTree::kSegmentRows);
    next = s.end;
    for (int32_t row = 0; row < tree.nodes(); ++row) {
      int32_t above = row;
      while (above > s.begin) above = tree.parent[above];
      EXPECT_EQ(above == s.begin, row >= s.begin && row < s.subtree_end) << row;
    }
    EXPECT_EQ(tree.position[s.begin], s.depth);
    for (int32_t row = s.begin + 1; row < s.end; ++row) {
      EXPECT_EQ(tree.parent[row], row - 1);
      EXPECT_EQ(std::ranges::count(tree.parent, row - 1), 1);
    }
  }
  EXPECT_EQ(next, tree.nodes());
}

TEST(TokenTree, HasOneNodePerDistinctPrefix) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    const std::vector<Sample> samples = random_samples(seed);
    std::set<Tokens> prefixes;
    for (const Sample& sample : samples)
      for (size_t n = 1; n < sample.tokens.size(); ++n)
        prefixes.insert(Tokens(sample.tokens.begin(), sample.tokens.begin() + static_cast<int64_t>(n)));
    const TokenTree tree = build(samples).tree;
    EXPECT_EQ(tree.nodes(), static_cast<int64_t>(prefixes.size()));
    expect_depth_first(tree);
    expect_segments(tree);
  }
}

TEST(TokenTree, PredictsEveryTokenFromThePrefixBeforeIt) {
  const std::vector<Sample> samples = random_samples(9);
  const Built built = build(samples);
  ASSERT_EQ(built.predictions.first.size(), samples.size() + 1);
  for (size_t b = 0; b < samples.size(); ++b) {
    const Tokens& tokens = samples[b].tokens;
    auto entry = static_cast<size_t>(built.predictions.first[b]);
    for (auto n = samples[b].given; n < static_cast<int64_t>(tokens.size()); ++n, ++entry) {
      EXPECT_EQ(path(built.tree, built.predictions.row[entry]), Tokens(tokens.begin(), tokens.begin() + n));
      EXPECT_EQ(built.predictions.target[entry], tokens[static_cast<size_t>(n)]);
    }
    EXPECT_EQ(static_cast<int64_t>(entry), built.predictions.first[b + 1]);
  }
}

TEST(TokenTree, DoesNotDependOnTheOrderOfTheSequences) {
  std::vector<Sample> samples = random_samples(2);
  const TokenTree tree = build(samples).tree;
  std::ranges::reverse(samples);
  const TokenTree other = build(samples).tree;
  EXPECT_EQ(tree.token, other.token);
  EXPECT_EQ(tree.parent, other.parent);
}

TEST(TokenTree, CutsTheExampleOfTwoAnswers) {
  const Built built = build({{{5, 6, 7, 1}, 2}, {{5, 6, 8, 2}, 2}, {{5, 6, 7, 1}, 2}, {{4}, 1}});
  EXPECT_EQ(built.tree.token, (Tokens{5, 6, 7, 8}));
  EXPECT_EQ(built.tree.parent, (Tokens{-1, 0, 1, 1}));
  EXPECT_EQ(built.predictions.first, (std::vector<int64_t>{0, 2, 4, 6, 6}));
  EXPECT_EQ(built.predictions.row, (std::vector<int64_t>{1, 2, 1, 3, 1, 2}));
  EXPECT_EQ(built.predictions.target, (std::vector<int64_t>{7, 1, 8, 2, 7, 1}));
  ASSERT_EQ(built.tree.segments.size(), 3U);
  EXPECT_EQ(built.tree.segments[0].subtree_end, 4);
  EXPECT_EQ(built.tree.depth(), 3);
}

TEST(TokenTree, PartsCoverAllRowsWithinTheBoundAndHoldTheirAncestors) {
  const TokenTree tree = build(random_samples(4)).tree;
  EXPECT_EQ(cut_tree(tree, 0), (std::vector<int64_t>{0, tree.nodes()}));
  for (const int64_t bound : {1, 350, 500, 100000}) {
    const std::vector<int64_t> cuts = cut_tree(tree, bound);
    EXPECT_EQ(cuts.front(), 0);
    EXPECT_EQ(cuts.back(), tree.nodes());
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const TokenTree part = part_of_tree(tree, cuts[i], cuts[i + 1]);
      EXPECT_LE(part.nodes(), std::max(bound, 2 * tree.depth()));
      expect_depth_first(part);
      expect_segments(part);
      for (int64_t row = cuts[i]; row < cuts[i + 1]; ++row)
        EXPECT_EQ(path(part, row - cuts[i] + tree.position[static_cast<size_t>(cuts[i])]), path(tree, row));
    }
  }
  EXPECT_GT(cut_tree(tree, 1).size(), 3U);
}

TEST(TokenTree, MayBeEmpty) {
  const Built built = build({{{3}, 1}});
  EXPECT_EQ(built.tree.nodes(), 0);
  EXPECT_EQ(built.tree.depth(), 0);
  EXPECT_EQ(cut_tree(built.tree, 10), std::vector<int64_t>{0});
}

}  // namespace
}  // namespace tightrope
