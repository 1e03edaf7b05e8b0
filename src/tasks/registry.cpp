#include "tightrope/tasks/registry.hpp"

#include "tightrope/tasks/environment_task.hpp"
#include "tightrope/tasks/environments.hpp"
#include "tightrope/tasks/text_problems.hpp"

namespace tightrope {
namespace {

// A row of the registry for an environment whose section is S.
template <class S, std::unique_ptr<const Environment> (*make)(const S&)>
constexpr TaskEntry environment_row() {
  return {S::section, [](Schema& schema) { schema.add<S>("only where task.kind = " + std::string(S::section)); },
          [](const Deck& deck) -> std::unique_ptr<Task> {
            return std::make_unique<EnvironmentTask>(make(deck.get<S>()), deck.get<MlpDeck>(),
                                                     deck.get<EvaluationDeck>());
          }};
}

constexpr TaskEntry kTasks[] = {
    environment_row<HypergridDeck, make_hypergrid>(),
    environment_row<BitsDeck, make_bits>(),
    {"text",
     [](Schema& schema) {
       schema.add<ModelDeck>("the language model; only where task.kind = text")
           .add<TextDataDeck>("the questions; only where task.kind = text")
           .add<TextRewardDeck>("how answers are graded; only where task.kind = text")
           .add<TextDeck>("completions; only where task.kind = text");
     },
     [](const Deck& deck) -> std::unique_ptr<Task> {
       const auto& model = deck.get<ModelDeck>();
       return std::make_unique<TextTask>(
           text_problem(model, deck.get<TextDataDeck>(), deck.get<TextRewardDeck>(), deck.get<TextDeck>()),
           deck.get<TextDeck>(), model.compute_precision(), model.sampler_precision(), deck.get<EvaluationDeck>());
     }},
    {"tokens", [](Schema& schema) { schema.add<TokensDeck>("only where task.kind = tokens"); },
     [](const Deck& deck) -> std::unique_ptr<Task> {
       const auto& tokens = deck.get<TokensDeck>();
       TextDeck text;
       text.max_new = tokens.length;
       return std::make_unique<TextTask>(tokens_problem(tokens), text, Precision::float32, Precision::float32,
                                         deck.get<EvaluationDeck>());
     }},
};

}  // namespace

std::span<const TaskEntry> tasks() { return kTasks; }

void TaskDeck::fields(FieldList& f) {
  std::vector<std::string> names;
  for (const TaskEntry& entry : kTasks) names.emplace_back(entry.name);
  f.choice("kind", kind, names, "what is sampled; its own section has the same name");
}

void EvaluationDeck::fields(FieldList& f) {
  f.count("every", every, {0, 1e12}, "updates", "updates between evaluations; 0 = only at the end");
  f.count("samples", samples, {1, 1e9}, "trajectories", "drawn per evaluation where the task cannot be enumerated");
  f.count("enumerate_up_to", enumerate_up_to, {0, 1e9}, "states",
          "tasks up to this size are evaluated exactly, by dynamic programming over all states");
  f.count("slices", slices, {1, 1e6}, "slices", "parts of an evaluation per searcher, one between two batches");
}

void declare_tasks(Schema& schema) {
  schema.add<TaskDeck>("what is sampled");
  for (const TaskEntry& entry : kTasks) entry.declare(schema);
  schema.add<MlpDeck>("the network");
  schema.add<EvaluationDeck>("how progress is measured");
}

std::unique_ptr<Task> make_task(const Deck& deck) {
  const std::string& kind = deck.get<TaskDeck>().kind;
  for (const TaskEntry& entry : kTasks)
    if (kind == entry.name) return entry.make(deck);
  throw std::logic_error("task.kind is checked by the deck");
}

}  // namespace tightrope
