// Records of the widest layout, and the tables of states.
#include "tightrope/core/batch.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "../../conformance/environments.hpp"
#include "tightrope/tasks/state_graph.hpp"

namespace tightrope {
namespace {

Layout widest(int64_t action_values) {
  Layout layout;
  layout.max_length = 9;
  layout.action_width = 2;
  layout.action_values = action_values;
  layout.value_width = 3;
  layout.log_ref_per_transition = true;
  layout.log_behaviour = true;
  layout.reward_parts = {"likelihood", "prior"};
  return layout;
}

// Everything filled, zero beyond the lengths.
Batch filled(const Layout& layout, const std::vector<int64_t>& lengths, int64_t start) {
  const auto B = static_cast<int64_t>(lengths.size()), T = *std::ranges::max_element(lengths);
  const auto count = [&](std::vector<int64_t> shape) {
    const Tensor size = at::tensor(shape, at::kLong);
    return (at::arange(size.prod().item<int64_t>(), at::kLong) + start).view(shape);
  };
  Batch batch;
  batch.length = at::tensor(lengths, at::kLong);
  const Tensor inside = at::arange(T).unsqueeze(0) < batch.length.unsqueeze(1);
  batch.query = count({B});
  batch.group = count({B}) * 3;
  batch.id = count({B}) * 1000003;
  batch.actions = (layout.action_values - 1 - count({B, T, 2}).remainder(layout.action_values)) * inside.unsqueeze(2);
  batch.values = count({B, T, 3}).to(at::kFloat).mul(0.1) * inside.unsqueeze(2);
  batch.log_ref = count({B, T}).to(at::kFloat).mul(-0.3) * inside;
  batch.log_behaviour = count({B}).to(at::kDouble).mul(-0.7);
  batch.reward = count({B, 2}).to(at::kFloat).mul(0.2);
  batch.version = count({B, 3});
  batch.finish = at::ones({B}, at::kChar);
  return batch;
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_TRUE(at::equal(a.query, b.query));
  EXPECT_TRUE(at::equal(a.id, b.id));
  EXPECT_TRUE(at::equal(a.length, b.length));
  EXPECT_TRUE(at::equal(a.actions, b.actions));
  EXPECT_TRUE(at::equal(a.values, b.values));
  EXPECT_TRUE(at::equal(a.log_ref, b.log_ref));
  EXPECT_TRUE(at::equal(a.log_behaviour, b.log_behaviour));
  EXPECT_TRUE(at::equal(a.reward, b.reward));
  EXPECT_TRUE(at::equal(a.version, b.version));
  EXPECT_TRUE(at::equal(a.finish, b.finish));
}

Batch through_records(const Layout& layout, const Batch& batch) {
  std::vector<std::vector<std::byte>> packed(static_cast<size_t>(batch.size()));
  for (size_t i = 0; i < packed.size(); ++i) pack(layout, batch, static_cast<int64_t>(i), packed[i]);
  return unpack(layout, std::vector<std::span<const std::byte>>(packed.begin(), packed.end()));
}

TEST(Record, HoldsTheWidestLayoutAtEveryActionWidth) {
  for (const int64_t action_values : {256, 257, 65536, 65537, 1 << 30}) {
    const Layout layout = widest(action_values);
    const Batch batch = filled(layout, {4, 9, 1, 0, 7}, 5);
    expect_same(through_records(layout, batch), batch);
  }
}

TEST(Record, AppendsAndIsAsLongAsTheLayoutSays) {
  const Layout layout = widest(256);
  const Batch batch = filled(layout, {9, 2}, 5);
  std::vector<std::byte> bytes;
  pack(layout, batch, 0, bytes);
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), layout.max_record_bytes());
  const size_t first = bytes.size();
  pack(layout, batch, 1, bytes);
  const auto second = std::span<const std::byte>(bytes).subspan(first);
  EXPECT_EQ(second.size() % 8, 0U);
  EXPECT_EQ(record_head(layout, second).length, 2);
  EXPECT_EQ(record_head(layout, second).log_reward, batch.log_reward()[1].item<double>());
}

TEST(Record, RefusesBytesThatCannotBeARecord) {
  const Layout layout = widest(256);
  std::vector<std::byte> bytes;
  pack(layout, filled(layout, {9}, 5), 0, bytes);
  const std::span<const std::byte> whole = bytes;
  EXPECT_THROW(record_head(layout, whole.first(whole.size() - 8)), std::runtime_error);
  EXPECT_THROW(record_head(layout, whole.first(16)), std::runtime_error);
  Layout shorter = layout;
  shorter.max_length = 8;
  EXPECT_THROW(record_head(shorter, whole), std::runtime_error);
  const auto cut = whole.first(whole.size() - 8);
  EXPECT_THROW(unpack(layout, {&cut, 1}), std::runtime_error);
}

TEST(Record, ContentNamesTheTrajectoryAndNothingElse) {
  const Layout layout = widest(256);
  const auto content = [&](const Batch& batch) {
    std::vector<std::byte> bytes;
    pack(layout, batch, 0, bytes);
    return record_head(layout, bytes).content;
  };
  const auto batch = [&] { return filled(layout, {4}, 5); };
  Batch other = batch();
  other.id += 1;
  other.version += 1;
  other.log_ref -= 1;
  other.reward += 1;
  EXPECT_EQ(content(other), content(batch()));
  for (Tensor Batch::*field : {&Batch::query, &Batch::values, &Batch::actions}) {
    Batch moved = batch();
    moved.*field = moved.*field + 1;
    EXPECT_NE(content(moved), content(batch()));
  }
}

TEST(Batch, ConcatenatePadsToTheLongest) {
  const Layout layout = widest(256);
  const Batch parts[] = {filled(layout, {2, 3}, 5), filled(layout, {9, 1}, 50), filled(layout, {4}, 90)};
  const Batch whole = concatenate(parts);
  EXPECT_EQ(whole.size(), 5);
  EXPECT_EQ(whole.actions.sizes().vec(), (std::vector<int64_t>{5, 9, 2}));
  EXPECT_TRUE(at::equal(whole.group, at::cat({parts[0].group, parts[1].group, parts[2].group})));
  expect_same(through_records(layout, select(whole, at::tensor({0, 1}, at::kLong))), parts[0]);
  expect_same(through_records(layout, select(whole, at::tensor({2, 3}, at::kLong))), parts[1]);
  expect_same(through_records(layout, select(whole, at::tensor({4}, at::kLong))), parts[2]);
}

TEST(StateRows, FindsWhatWasAdded) {
  StateRows rows(2);
  for (int32_t pass = 0; pass < 2; ++pass)
    for (int32_t i = 0; i < 1000; ++i) {
      const int32_t state[] = {i, -i};
      EXPECT_EQ(rows.add(state), i);
    }
  EXPECT_EQ(rows.size(), 1000);
  const int32_t absent[] = {3, 3}, present[] = {7, -7};
  EXPECT_EQ(rows.find(absent), -1);
  EXPECT_EQ(rows.find(present), 7);
  rows.clear();
  EXPECT_EQ(rows.size(), 0);
  EXPECT_EQ(rows.find(present), -1);
  EXPECT_EQ(rows.add(present), 0);
}

// Paths to one rung differ in length: breadth-first order of the edges would use a rung before all of its mass is in.
TEST(StateGraph, OrdersEdgesWherePathsDifferInLength) {
  const StateGraph graph(conformance::Ladder(), 100);
  EXPECT_EQ(graph.size(), 7);
  EXPECT_EQ(graph.edges().size(), 11U);
  std::vector<bool> left(7, false);
  for (const auto& edge : graph.edges()) {
    EXPECT_FALSE(left[static_cast<size_t>(edge.child)]) << "an edge into a state after one out of it";
    left[static_cast<size_t>(edge.parent)] = true;
  }
  // One step with probability 2/3, two with 1/3, at the last rung one for sure; P_B = 1 leaves w = -log P_F.
  std::vector<double> log_pf, length(7, 0), mass(7, 0);
  for (const auto& edge : graph.edges()) {
    const bool forced = graph.rows().state(edge.parent)[0] == 5;
    log_pf.push_back(std::log(forced ? 1.0 : edge.action == 0 ? 2.0 / 3 : 1.0 / 3));
  }
  mass[0] = 1;
  for (int32_t rung = 0; rung < 6; ++rung)
    for (int32_t step = 1; step <= 2 && rung + step <= 6; ++step) {
      const auto from = static_cast<size_t>(rung), to = static_cast<size_t>(rung + step);
      const double p = rung == 5 ? 1.0 : step == 1 ? 2.0 / 3 : 1.0 / 3;
      mass[to] += p * mass[from];
      length[to] += p * (length[from] + mass[from]);
    }
  const auto moments = graph.moments(log_pf, std::vector<double>(log_pf.size(), 0));
  EXPECT_NEAR(moments.distribution.at(0), 1, 1e-12);
  EXPECT_NEAR(moments.length, length[6], 1e-12);
}

TEST(StateGraph, RefusesToGrowBeyondItsLimit) {
  EXPECT_THROW(StateGraph(conformance::PrependAppend(), 30), std::runtime_error);
  EXPECT_EQ(StateGraph(conformance::PrependAppend(), 31).size(), 31);
}

TEST(StateGraph, CountsBothOfTwoEdgesBetweenTheSameStates) {
  const StateGraph graph(conformance::PrependAppend(), 31);
  EXPECT_EQ(graph.edges().size(), 2U + 4U * (2 + 4 + 8));
  EXPECT_EQ(graph.terminals().size(), 16U);
}

}  // namespace
}  // namespace tightrope
