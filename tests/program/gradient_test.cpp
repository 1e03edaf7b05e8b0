// Several trainers are one: their shares of a batch add up to its gradient, and their parameters stay bit-identical.
#include <gtest/gtest.h>

#include <tuple>

#include "tightrope/comm/gradient_sum.hpp"
#include "tightrope/comm/hash.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/run/decks.hpp"
#include "tightrope/run/searcher.hpp"
#include "tightrope/run/trainer.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

constexpr int64_t kBatch = 64, kGroup = 4;

Deck read(const std::vector<std::string>& overrides) { return Deck(program_schema(), "", "test.ini", overrides); }

std::span<float> floats(const Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// Every parameter somewhere: the last layer starts at zero, where most gradients are zero too.
void scatter(Policy& policy) {
  const std::span<float> values = floats(policy.parameters.flat());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] += static_cast<float>(0.2 * uniform(1, Stream::weights, 99, static_cast<uint32_t>(i)) - 0.1);
}

// The batch's rows first .. end - 1 as a trainer gets them: packed and unpacked, in groups of kGroup.
Batch rows(const Layout& layout, const Batch& batch, int64_t first, int64_t end) {
  std::vector<std::vector<std::byte>> packed(static_cast<size_t>(end - first));
  std::vector<std::span<const std::byte>> records;
  for (int64_t i = first; i < end; ++i) {
    auto& record = packed[static_cast<size_t>(i - first)];
    pack(layout, batch, i, record);
    records.emplace_back(record);
  }
  Batch part = unpack(layout, records);
  part.group = at::arange(end - first).floor_divide(kGroup);
  return part;
}

Tensor gradient(const Task& task, Policy& policy, const Objective& objective, const Batch& batch) {
  policy.parameters.zero_gradient();
  const Scores scores = task.score(policy, batch);
  const Tensor loss = objective.evaluate(scores, batch, ObjectiveValues{1, 1, 0.9}).loss.sum() / double{kBatch};
  loss.backward();
  return policy.parameters.gradient().clone();
}

TEST(Trainers, SharesOfABatchAddUpToItsGradient) {
  const mpi::Comm comm = mpi::Comm::world();
  for (const std::string backward : {"uniform", "learned"}) {
    const auto task = make_task(read({"--policy.backward=" + backward, "--policy.width=64"}));
    for (const Objective& objective : objectives()) {
      SCOPED_TRACE(std::string(objective.name) + ", P_B " + backward);
      const auto policy = task->make_policy(objective.needs);
      policy->initialise(1);
      scatter(*policy);
      Keys keys{1, {}, {}};
      for (int64_t i = 0; i < kBatch; ++i) {
        keys.visit.push_back(i);
        keys.k.push_back(0);
      }
      Batch batch = task->sample(*policy, at::zeros({kBatch}, at::kLong), Exploration{0.1, 1}, keys);
      task->complete(batch);
      const Tensor whole = gradient(*task, *policy, objective, rows(task->layout(), batch, 0, kBatch));
      const int64_t first = kBatch * comm.rank() / comm.size(), end = kBatch * (comm.rank() + 1) / comm.size();
      const Tensor sum = gradient(*task, *policy, objective, rows(task->layout(), batch, first, end));
      const GradientPlan plan(sum.size(0), 4096, comm.size());
      const auto collective = make_collective({}, plan, comm);
      GradientSum(plan, comm.rank(), *collective, floats(sum), /*sharded=*/false).finish();
      const double size = whole.norm().item<double>();
      EXPECT_GT(size, 1e-3);
      EXPECT_LE((sum - whole).norm().item<double>(), 1e-6 * size);
    }
  }
}

// What a pass says to be done is final from then on, nothing is said twice, and what is never said has no gradient.
void expect_honest(const Task& task, Policy& policy, const Objective& objective, const Batch& batch) {
  const ParameterSet& parameters = policy.parameters;
  Tensor seen = at::full({parameters.size()}, -1e30F), times = at::zeros({parameters.size()});
  policy.parameters.watch_gradient([&](const Extent& done) {
    seen.narrow(0, done.offset, done.size).copy_(parameters.gradient().narrow(0, done.offset, done.size));
    times.narrow(0, done.offset, done.size).add_(1);
  });
  const Tensor whole = gradient(task, policy, objective, batch);
  policy.parameters.watch_gradient([](const Extent&) {});
  EXPECT_EQ(times.max().item<float>(), 1);
  EXPECT_TRUE(at::equal(at::where(times == 1, seen, 0), whole));
  EXPECT_GT(whole.norm().item<double>(), 0);
}

TEST(Trainers, GradientsThatAreSaidToBeDoneAreFinal) {
  const auto mlp = make_task(read({"--policy.backward=learned", "--policy.width=64"}));
  const auto tokens =
      make_task(read({"--task.kind=tokens", "--tokens.layers=3", "--tokens.length=6", "--text.tokens_at_once=20"}));
  for (const auto& [task, name, queries] : {std::tuple(mlp.get(), "subtb", 1), {tokens.get(), "vargrad", 2}}) {
    const Objective& objective = find_objective(name);
    const auto policy = task->make_policy(objective.needs);
    policy->initialise(1);
    if (queries == 1) scatter(*policy);
    Keys keys{1, {}, {}};
    for (int64_t i = 0; i < kBatch; ++i) {
      keys.visit.push_back(0);
      keys.k.push_back(i);
    }
    const Tensor query = at::arange(kBatch).floor_divide(kBatch / queries);
    Batch batch = task->sample(*policy, query, Exploration{0, 1}, keys);
    task->complete(batch);
    expect_honest(*task, *policy, objective, rows(task->layout(), batch, 0, kBatch));
  }
}

class Sums : public testing::TestWithParam<const char*> {};

TEST_P(Sums, LeaveParametersBitIdentical) {
  mpi::Comm comm = mpi::Comm::world();
  const std::string ranks = std::to_string(comm.size());
  const Deck deck = read({"--world.trainers=" + ranks, "--trainer.steps=20", "--evaluation.every=0",
                          "--world.threads=1", "--policy.width=64", "--objective.kind=subtb",
                          "--policy.backward=learned", "--trainer.clip=1", "--collective.bucket=4KiB",
                          // Their own weights at first, as of processors that round differently.
                          "--run.seed=" + std::to_string(1 + comm.rank()), GetParam()});
  const auto task = make_task(deck);
  const auto policy = task->make_policy(find_objective("subtb").needs);
  const Plan plan = make_plan(deck, comm.size(), *task, policy->parameters.size());
  const World world(std::move(comm), deck.get<WorldDeck>());
  ReplayWindow window(world.comm(), plan.geometry);
  WeightBoard board(world.comm(), 0, plan.parameters);
  Trainer trainer(world, deck, plan, *task, window, board);
  Searcher searcher(world, deck, plan, *task, window, board, {});
  trainer.begin();
  int64_t before = 0;
  while (!trainer.finished()) {
    searcher.step();
    if (!trainer.step() || !trainer.at_update()) continue;
    const auto hash = static_cast<int64_t>(hash_bytes(std::as_bytes(floats(trainer.policy().parameters.flat()))) >> 1);
    int64_t ends[2] = {hash, -hash};
    world.trainers().max(ends);
    ASSERT_EQ(ends[0], -ends[1]) << "after update " << trainer.steps_done();
    ASSERT_NE(hash, before);
    before = hash;
  }
  world.comm().barrier();
}

INSTANTIATE_TEST_SUITE_P(Mpi, Sums,
                         testing::Values("--collective.overlap=no", "--collective.precision=bfloat16",
                                         "--trainer.shard=optimizer"));
#ifdef TIGHTROPE_TEST_NCCL
INSTANTIATE_TEST_SUITE_P(Nccl, Sums, testing::Values("--collective.kind=nccl"));
#endif

}  // namespace
}  // namespace tightrope
