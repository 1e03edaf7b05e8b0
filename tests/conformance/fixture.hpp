#pragma once
// What the conformance suites run over: every registered task in a small form, and the tests' own environments,
// each with uniform and with learned P_B.  A new row of the registry is picked up without asking.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <numeric>
#include <ostream>

#include "environments.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/learn/objective.hpp"
#include "tightrope/tasks/environment_task.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope::conformance {

struct Variant {
  std::string name;
  std::function<std::unique_ptr<Task>(const EvaluationDeck&)> make;
};

inline std::ostream& operator<<(std::ostream& out, const Variant& variant) { return out << variant.name; }

// Overrides that make a registered task small; a task without a row runs with its defaults.
inline std::vector<std::string> small(const std::string& name) {
  const std::map<std::string, std::vector<std::string>> rows = {
      {"hypergrid", {"--hypergrid.side=4", "--hypergrid.dimensions=3"}},
      {"text",
       {"--model.path=" TIGHTROPE_SOURCE "/tests/fixtures/models/tiny_text", "--model.compute=float32",
        "--model.sampler_weights=float32", "--data.generator=sort", "--data.questions=26", "--data.heldout_questions=6",
        "--text.max_new=5", "--text.stop=1"}},
      {"tokens", {"--tokens.hidden=16"}},
      {"bits", {"--bits.bits=16", "--bits.word=4", "--bits.modes=25", "--bits.found_within=4"}}};
  const auto row = rows.find(name);
  return row == rows.end() ? std::vector<std::string>{} : row->second;
}

inline std::unique_ptr<Task> registered(const std::string& name, const std::string& backward,
                                        const EvaluationDeck& evaluation) {
  Schema schema;
  declare_tasks(schema);
  std::vector<std::string> overrides = small(name);
  overrides.insert(overrides.end(), {"--task.kind=" + name, "--policy.width=32", "--policy.backward=" + backward,
                                     "--evaluation.samples=" + std::to_string(evaluation.samples),
                                     "--evaluation.enumerate_up_to=" + std::to_string(evaluation.enumerate_up_to)});
  return make_task(Deck(schema, "", "test.ini", overrides));
}

template <class E>
Variant private_variant(const std::string& name, const std::string& backward) {
  return {name + "_" + backward, [backward](const EvaluationDeck& evaluation) -> std::unique_ptr<Task> {
            MlpDeck network;
            network.width = 32;
            network.backward = backward;
            return std::make_unique<EnvironmentTask>(std::make_unique<E>(), network, evaluation);
          }};
}

inline std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string backward : {"uniform", "learned"}) {
    for (const TaskEntry& entry : tasks())
      all.push_back({std::string(entry.name) + "_" + backward,
                     [name = std::string(entry.name), backward](const EvaluationDeck& evaluation) {
                       return registered(name, backward, evaluation);
                     }});
    all.push_back(private_variant<PrependAppend>("prepend_append", backward));
    all.push_back(private_variant<Ladder>("ladder", backward));
  }
  return all;
}

// A policy far from its start, where all heads are zero.
inline std::unique_ptr<Policy> random_policy(const Task& task, const Needs& needs) {
  auto policy = task.make_policy(needs);
  policy->initialise(1);
  const Tensor& flat = policy->parameters.flat();
  for (int64_t i = 0; i < flat.size(0); ++i)
    flat.mutable_data_ptr<float>()[i] =
        static_cast<float>(0.3 * normal(5, Stream::weights, 0, static_cast<uint32_t>(i)));
  return policy;
}

// Names `count` samples by consecutive visits.
inline Keys consecutive(uint64_t seed, int64_t count) {
  Keys keys{seed, std::vector<int64_t>(static_cast<size_t>(count)),
            std::vector<int64_t>(static_cast<size_t>(count), 0)};
  std::iota(keys.visit.begin(), keys.visit.end(), 0);
  return keys;
}

inline Batch sample(const Task& task, Policy& policy, int64_t count, uint64_t seed, const Exploration& explore = {}) {
  const Tensor query = at::arange(count, at::kLong).remainder(task.queries());
  Batch batch = task.sample(policy, query, explore, consecutive(seed, count));
  task.complete(batch);
  return batch;
}

inline std::vector<std::byte> record(const Task& task, const Batch& batch, int64_t row) {
  std::vector<std::byte> bytes;
  pack(task.layout(), batch, row, bytes);
  return bytes;
}

inline std::vector<std::vector<std::byte>> records(const Task& task, const Batch& batch) {
  std::vector<std::vector<std::byte>> all;
  for (int64_t row = 0; row < batch.size(); ++row) all.push_back(record(task, batch, row));
  return all;
}

class Conformance : public testing::TestWithParam<Variant> {
 protected:
  Conformance() : task(GetParam().make({})), policy(random_policy(*task, {.log_z = true})) {
    at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  }
  std::unique_ptr<Task> task;
  std::unique_ptr<Policy> policy;
};

inline std::string name_of(const testing::TestParamInfo<Variant>& info) { return info.param.name; }

}  // namespace tightrope::conformance
