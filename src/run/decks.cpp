#include "tightrope/run/decks.hpp"

#include <algorithm>

#include "tightrope/learn/replay_index.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {

void RunDeck::fields(FieldList& f) {
  f.text("name", name, "the run's folder inside run.folder; empty = the deck's file name");
  f.text("folder", folder, "where runs are kept");
  f.choice("mode", mode, {"async", "lockstep"},
           "async: nobody waits; lockstep: phases of sampling and updates, repeatable bit by bit");
  f.text("restart", restart, "no, auto (the newest complete checkpoint of the run's folder, if any), or a file");
  f.count("seed", seed, {0, 9e18}, "", "of all randomness");
  f.count("interval", interval, {1, 1e9}, "updates", "updates per row of metrics and per progress line");
  f.seconds(
      "wall_time", wall_time, {0, 1e9},
      "from the start of the program; the run stops so early that a checkpoint still fits, exit code 75; 0 = never");
  f.seconds("watchdog", watchdog, {0, 1e9},
            "without a step of a rank (an update; of a searcher a batch), after which the job is aborted; 0 = never");
  f.choice("progress", progress, {"auto", "always", "never"}, "progress lines; auto = where stdout is a terminal");
}

void ObjectiveDeck::fields(FieldList& f) {
  std::vector<std::string> names;
  for (const Objective& objective : objectives()) names.emplace_back(objective.name);
  f.choice("kind", kind, names, "what is minimised");
  f.count("group", group, {1, 1e6}, "trajectories", "K, trajectories of one query in a batch");
  f.real("temperature", temperature, {1e-9, 1e9}, "", "divides log R; TBA's beta, at the first update");
  f.real("temperature_end", temperature_end, {0, 1e9}, "", "what it moves to; 0 = it stays");
  f.count("temperature_decay_steps", temperature_decay_steps, {0, 1e12}, "updates", "over which it moves, linearly");
  f.count("temperature_jump_at", temperature_jump_at, {0, 1e12}, "updates",
          "update from which it is temperature_end, wherever it was; 0 = temperature_decay_steps");
  f.real("reward_exponent", reward_exponent, {1e-9, 1e9}, "", "1 / temperature; give one of the two");
  f.real("ref_coefficient", ref_coefficient, {0, 1e3}, "", "c, the weight of log p_ref (log P_B) in the residual");
  f.real("lambda", lambda, {0, 10}, "", "weight of a sub-trajectory of length n is lambda^n (subtb)");
}

void TrainerDeck::fields(FieldList& f) {
  f.count("steps", steps, {0, 1e12}, "updates", "updates of the run");
  f.count("batch", batch, {1, 1e9}, "trajectories", "trajectories per update, over all trainers");
  optimiser.fields(f);
  f.choice("shard", shard, {"none", "optimizer"},
           "optimizer: each trainer keeps Adam's moments of its share of the parameters only (ZeRO-1)");
  f.count("publish_every", publish_every, {1, 1e9}, "updates", "updates between publications of the weights (async)");
  f.choice("publish_precision", publish_precision, {"float32", "bfloat16"},
           "of the weights that searchers sample with");
  f.count("updates_per_phase", updates_per_phase, {1, 1e9}, "updates", "updates per phase (lockstep)");
}

void SearcherDeck::fields(FieldList& f) {
  f.count("batch", batch, {1, 1e7}, "trajectories", "trajectories that a searcher samples at once");
  f.count("samples_per_query", samples_per_query, {1, 1e6}, "trajectories", "S, trajectories per visit of a query");
  f.count("keep_per_query", keep_per_query, {0, 1e6}, "trajectories",
          "of the S those that are stored: with the highest and the lowest rewards, so that their variance is the "
          "largest; 0 = all");
  f.flag("skip_equal", skip_equal, "a visit of a query whose rewards are all equal is not stored");
  f.count("batches_per_phase", batches_per_phase, {1, 1e9}, "batches", "batches per searcher and phase (lockstep)");
}

void ExploreDeck::fields(FieldList& f) {
  f.real("epsilon", epsilon, {0, 1}, "probability", "of a uniform draw over the valid actions, at the start");
  f.real("epsilon_end", epsilon_end, {0, 1}, "probability", "of the same after explore.decay_steps");
  f.real("temperature", temperature, {1e-3, 1e3}, "", "divides the logits of the sampler, never of a loss");
  f.real("top_p", top_p, {1e-6, 1}, "probability", "tokens are drawn from the likeliest of this mass (text); 1 = all");
  f.count("decay_steps", decay_steps, {0, 1e12}, "updates", "epsilon falls linearly over these; 0 = it stays");
}

Exploration ExploreDeck::at(int64_t version) const {
  if (decay_steps == 0) return {epsilon, temperature, top_p};
  const double done = std::min(1.0, static_cast<double>(version) / static_cast<double>(decay_steps));
  return {epsilon + (epsilon_end - epsilon) * done, temperature, top_p};
}

void CheckpointDeck::fields(FieldList& f) {
  f.count("every", every, {0, 1e12}, "updates", "updates between checkpoints; 0 = only at the end");
  f.real("minutes", minutes, {0, 1e9}, "minutes", "since the last checkpoint, after which one is due too; 0 = never");
  f.count("keep", keep, {1, 1e6}, "files", "checkpoints that are kept: those written last");
  f.count("keep_every", keep_every, {0, 1e12}, "updates",
          "of each span of so many updates (M to 2M, 2M to 3M, ...) the first checkpoint is kept for good; 0 = none");
  f.text("folder", folder, "where checkpoints are kept, in a folder of the run's name; empty = the run's folder");
  f.text("local", local,
         "fast storage of the trainers' node (/dev/shm, an NVMe disk): written there first, then copied; empty = none");
}

namespace {

std::vector<Schema::Alias> tba_names() {
  return {{"k", "objective.group"},
          {"samples", "searcher.samples_per_query"},
          {"keep", "searcher.keep_per_query"},
          {"skip_equal", "searcher.skip_equal"},
          {"temperature_start", "objective.temperature"},
          {"temperature_end", "objective.temperature_end"},
          {"temperature_decay_steps", "objective.temperature_decay_steps"},
          {"temperature_jump_at", "objective.temperature_jump_at"},
          {"m", "replay.recent_fraction"},
          {"recent_window", "replay.recent_window"},
          {"capacity_per_prompt", "replay.capacity_per_query"},
          {"within_prompt", "replay.within"},
          {"inverse_temperature", "replay.inverse_temperature"},
          {"initial_fill", "replay.minimum"},
          {"publish_period", "trainer.publish_every"},
          {"sampler_temperature", "explore.temperature"},
          {"top_p", "explore.top_p"},
          {"density_temperature", "text.temperature"},
          {"count_eos", "text.count_eos"}};
}

}  // namespace

Schema program_schema() {
  Schema schema;
  schema.add<RunDeck>("the run").add<WorldDeck>("ranks and roles");
  declare_tasks(schema);
  schema.add<ObjectiveDeck>("what is minimised")
      .add<TrainerDeck>("updates and step sizes")
      .add<SearcherDeck>("sampling")
      .add<ExploreDeck>("how the sampler strays from the policy; never part of a loss")
      .add<ReplayDeck>("the replay buffer")
      .add<CollectiveDeck>("sums of the gradient over the trainers")
      .add<CheckpointDeck>("restart files")
      .alias("tba", "TBA's own names (arXiv 2503.18929) for keys of other sections", tba_names());
  return schema;
}

std::vector<std::string> combination_problems(const Deck& deck, int ranks) {
  std::vector<std::string> problems;
  const auto check = [&](bool fine, const std::string& key, const std::string& problem) {
    if (!fine) problems.push_back(deck.origin(key) + ": " + problem);
  };
  const auto& objective = deck.get<ObjectiveDeck>();
  const auto& trainer = deck.get<TrainerDeck>();
  const auto& searcher = deck.get<SearcherDeck>();
  const std::string k = std::to_string(objective.group), batch = std::to_string(trainer.batch);
  check(trainer.batch % objective.group == 0, "objective.group",
        "objective.group = " + k + " does not divide trainer.batch = " + batch +
            " (a batch is made of whole groups) choose a divisor");
  check(!find_objective(objective.kind).needs.groups || objective.group > 1, "objective.group",
        "objective.group = 1 does not work with objective.kind = " + objective.kind +
            " (its log Z is the mean over a group) set objective.group to 2 or more");
  // By value, not by what was given: a printed deck gives every key and must run as it stands.
  check(objective.temperature == 1 || objective.reward_exponent == 1, "objective.reward_exponent",
        "objective.temperature and objective.reward_exponent are both given (each is the other's inverse) remove one");
  check(objective.temperature_end == 0 || objective.temperature_decay_steps > 0, "objective.temperature_end",
        "objective.temperature_end needs objective.temperature_decay_steps (how fast it is reached) give both");
  check(searcher.batch % searcher.samples_per_query == 0, "searcher.batch",
        "searcher.samples_per_query = " + std::to_string(searcher.samples_per_query) +
            " does not divide searcher.batch = " + std::to_string(searcher.batch) + " choose a divisor");
  const auto& explore = deck.get<ExploreDeck>();
  const std::string& task = deck.get<TaskDeck>().kind;
  const bool text = task == "text" || task == "tokens";
  check(text || explore.top_p == 1, "explore.top_p",
        "explore.top_p does nothing with task.kind = " + task + " (it cuts the vocabulary of a text) remove it");
  check(
      !text || (explore.epsilon == 0 && explore.epsilon_end == 0), "explore.epsilon",
      "explore.epsilon does nothing with task.kind = " + task + " (texts explore by temperature and top_p) remove it");
  const auto& world = deck.get<WorldDeck>();
  check(
      world.device != "cpu" || deck.get<CollectiveDeck>().kind != "nccl", "collective.kind",
      "collective.kind = nccl does not work with world.device = cpu (it sums on a GPU per trainer) set one of them to "
      "auto");
  check(trainer.batch / objective.group >= world.trainers, "trainer.batch",
        "trainer.batch = " + batch + " has fewer groups of " + k + " than there are trainers (" +
            std::to_string(world.trainers) + ") raise it or lower world.trainers");
  try {
    Roles::of(world, ranks);
  } catch (const Failure& failure) {
    problems.push_back(deck.origin("world.trainers") + ": " + failure.what());
  }
  return problems;
}

}  // namespace tightrope
