#include <algorithm>

#include "bytes_text.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/comm/weight_board.hpp"
#include "tightrope/learn/replay_index.hpp"
#include "tightrope/run/checkpoint.hpp"
#include "tightrope/run/decks.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

// An objective may ask for what a task cannot supply; groups of one query must come from somewhere.
void check_needs(const Deck& deck, const Objective& objective, const Task& task) {
  const Needs has = task.supplies(), wants = objective.needs;
  const bool lacks = (wants.log_z && !has.log_z) || (wants.log_flow && !has.log_flow) ||
                     (wants.log_ref_per_transition && !has.log_ref_per_transition) || (wants.groups && !has.groups);
  VALIDATE(!lacks, deck.origin("objective.kind") + ": objective.kind = " + objective.name + " does not work here",
           "task.kind = " + deck.get<TaskDeck>().kind + " has no " +
               (wants.log_flow ? "state flows"
                : wants.log_z  ? "learned log Z"
                               : "such scores"),
           "choose vargrad");
  const auto& searcher = deck.get<SearcherDeck>();
  const int64_t k = deck.get<ObjectiveDeck>().group, s = searcher.samples_per_query, kept = searcher.keep_per_query;
  VALIDATE(!wants.groups || task.queries() == 1 || s >= k,
           deck.origin("searcher.samples_per_query") + ": searcher.samples_per_query = " + std::to_string(s) +
               " is too small",
           "a visit of a query must fill a group of objective.group = " + std::to_string(k), "give S >= K");
  VALIDATE(kept == 0 || (kept >= std::min(k, s) && kept <= s),
           deck.origin("searcher.keep_per_query") + ": searcher.keep_per_query = " + std::to_string(kept) +
               " is out of place",
           "a visit makes " + std::to_string(s) + " trajectories and a group has " + std::to_string(k),
           "give a number between the two, or 0 for all");
}

}  // namespace

ObjectiveValues Plan::values_at(int64_t update) const {
  ObjectiveValues now = values;
  now.temperature = temperature.value(update);
  return now;
}

int64_t Plan::groups_of(int trainer) const {
  return groups * (trainer + 1) / roles.trainers - groups * trainer / roles.trainers;
}

int64_t Plan::window_bytes(int rank) const {
  return rank < roles.trainers ? geometry.part_bytes() + (rank == 0 ? WeightBoard::bytes_for(parameters, precision) : 0)
                               : 0;
}

int64_t Plan::training_bytes(const Deck& deck) const {
  const bool sharded = deck.get<TrainerDeck>().shard == "optimizer";
  int64_t owned = sharded ? 0 : parameters;
  if (sharded)
    for (const Extent& slice : gradient.shard(0)) owned += slice.size;
  return 4 * 2 * parameters + 4 * 2 * owned + collective_bytes(collective, gradient, sharded);
}

Plan make_plan(const Deck& deck, int ranks, const Task& task, int64_t parameters) {
  const auto& objective = deck.get<ObjectiveDeck>();
  const auto& replay = deck.get<ReplayDeck>();
  const auto& trainer = deck.get<TrainerDeck>();
  Plan plan;
  plan.roles = Roles::of(deck.get<WorldDeck>(), ranks);
  plan.objective = &find_objective(objective.kind);
  plan.values = {1, objective.ref_coefficient, objective.lambda};
  const double start = objective.temperature / objective.reward_exponent;
  const bool moves = objective.temperature_end > 0;
  plan.temperature = {start, moves ? objective.temperature_end : start, moves ? objective.temperature_decay_steps : 0,
                      objective.temperature_jump_at};
  plan.groups = trainer.batch / objective.group;
  plan.parameters = parameters;
  plan.gradient = GradientPlan(parameters, deck.get<CollectiveDeck>().bucket, plan.roles.trainers);
  plan.collective = deck.get<CollectiveDeck>();
  if (plan.collective.kind == "auto") plan.collective.kind = "mpi";
  plan.precision =
      trainer.publish_precision == "bfloat16" ? WeightBoard::Precision::bfloat16 : WeightBoard::Precision::float32;
  check_needs(deck, *plan.objective, task);

  ReplayGeometry& geometry = plan.geometry;
  geometry.trainers = plan.roles.trainers;
  geometry.searchers = plan.roles.searchers;
  geometry.record_bytes = task.layout().max_record_bytes();
  geometry.lane_bytes = replay.lane_bytes;
  geometry.bounded = replay.lane == "bounded" || deck.get<RunDeck>().mode == "lockstep";
  const int64_t fit = replay.bytes / plan.roles.trainers / geometry.slot_bytes();
  geometry.slots = replay.capacity > 0 ? std::min(fit, replay.capacity) : fit;
  const int64_t needed = (trainer.batch + plan.roles.trainers - 1) / plan.roles.trainers;
  VALIDATE(geometry.slots >= needed, deck.origin("replay.bytes") + ": replay.bytes is too small",
           "a store of " + std::to_string(geometry.slots) + " records of " + bytes_text(geometry.slot_bytes()) +
               " cannot hold one trainer's batch of " + std::to_string(needed),
           "give replay.bytes at least " + bytes_text(needed * geometry.slot_bytes() * plan.roles.trainers) +
               " and replay.capacity at least " + std::to_string(needed));
  VALIDATE(replay.samples_per_insert == 0 || replay.samples_per_insert * static_cast<double>(geometry.slots) >= 1,
           deck.origin("replay.samples_per_insert") + ": replay.samples_per_insert is too small",
           "a full store would never allow a draw", "raise it");
  return plan;
}

std::string Plan::describe(const Deck& deck) const {
  const auto& trainer = deck.get<TrainerDeck>();
  const auto& searcher = deck.get<SearcherDeck>();
  const int64_t k = deck.get<ObjectiveDeck>().group;
  std::string text;
  const auto line = [&](const std::string& name, const std::string& value) {
    text += "  " + name + std::string(name.size() < 22 ? 22 - name.size() : 1, ' ') + value + "\n";
  };
  const auto number = [](int64_t value) { return std::to_string(value); };
  line("ranks", number(roles.both ? roles.trainers : roles.trainers + roles.searchers) + " (" + number(roles.trainers) +
                    " trainers, " + number(roles.searchers) + " searchers" +
                    (roles.both ? ", each rank is both)" : ")"));
  line("batch", number(trainer.batch) + " trajectories = " + number(groups) + " groups x " + number(k) + "; " +
                    number(groups_of(0)) + " groups on trainer 0");
  line("run",
       number(trainer.steps) + " updates = " + number(trainer.steps * trainer.batch) + " trajectories trained on");
  line("sampling", number(roles.searchers) + " searchers x " + number(searcher.batch) + " trajectories at once");
  line("record",
       "at most " + bytes_text(geometry.record_bytes) + ", " + bytes_text(geometry.slot_bytes()) + " in a store");
  line("store",
       number(geometry.slots) + " records, " + bytes_text(geometry.slots * geometry.slot_bytes()) + " per trainer");
  line("lanes", number(roles.searchers) + " of " + bytes_text(geometry.ring_bytes()) + " per trainer");
  line("policy", number(parameters) + " parameters, " + bytes_text(4 * parameters));
  line("one-sided memory", bytes_text(window_bytes(0)) + " on trainer 0" +
                               (roles.trainers > 1 ? ", " + bytes_text(window_bytes(1)) + " on the others" : ""));
  line("trainers compute on", on_gpus ? "a GPU each" : "the CPU");
  line("gradient", number(static_cast<int64_t>(gradient.buckets.size())) + " buckets of at most " +
                       bytes_text(4 * std::min(gradient.bucket_values, parameters)) + ", summed by " + collective.kind +
                       " in " + collective.precision + (collective.overlap ? ", beside the backward pass" : ""));
  line("training memory", bytes_text(training_bytes(deck)) + (on_gpus ? " on each GPU" : " per trainer") +
                              " (weights, gradient, " +
                              (trainer.shard == "optimizer" ? "its share of two moments)" : "two moments)"));
  line("to be saved", bytes_text(4 * 3 * saved_share(parameters, 0, roles.trainers).size) +
                          " more per trainer from the first checkpoint on (its share of weights and moments)");
  line("sampling memory", bytes_text(2 * 4 * parameters) + " per searcher (weights, a copy in flight)");
  return text;
}

}  // namespace tightrope
