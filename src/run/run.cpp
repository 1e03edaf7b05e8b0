#include "tightrope/run/run.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tightrope/base/build_info.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/hdf5.hpp"
#include "tightrope/run/signals.hpp"
#include "tightrope/run/watchdog.hpp"
#include "tightrope/tasks/evaluation.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

std::string run_folder(const RunDeck& deck, const std::string& name) {
  return (std::filesystem::path(deck.folder) / (deck.name.empty() ? name : deck.name)).string();
}

void make_folder(const std::string& folder, const std::string& keys) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  VALIDATE(!error, "cannot make the folder " + folder, error.message(),
           "check the permissions, or choose another with " + keys);
}

RunDescription describe(const Deck& deck, const World& world) {
  RunDescription description;
  description.deck = deck.resolved();
  description.task = deck.get<TaskDeck>().kind;
  description.build = build_lines();
  description.libraries = {mpi::library_version(), h5::library_version()};
  description.settings = mpi::effective_settings();
  description.settings.push_back(world.summary());
  description.ranks = world.comm().size();
  description.trainers = world.roles().trainers;
  description.searchers = world.roles().searchers;
  return description;
}

bool shows_progress(const std::string& wish) { return wish == "always" || (wish == "auto" && stdout_is_terminal()); }

}  // namespace

Run::Run(const World& world, const Deck& deck, const Task& task, const Plan& plan, const std::string& name,
         const Stopwatch& started)
    : world_(world),
      deck_(deck),
      task_(task),
      plan_(plan),
      folder_(run_folder(deck.get<RunDeck>(), name)),
      io_comm_(world.trainers().duplicate()),
      window_(world.comm(), plan.geometry),
      board_(world.comm(), 0, plan.parameters, plan.precision),
      states_(world.comm(), Watchdog::state_bytes),
      started_(started) {
  if (const int64_t bytes = task_.frozen_bytes(); bytes > 0) {
    frozen_ = std::make_unique<mpi::NodeMemory>(world.comm(), bytes,
                                                [&](std::span<std::byte> memory) { task_.fill_frozen(memory); });
    task_.use_frozen(frozen_->bytes());
  }
  if (world_.is_trainer()) trainer_ = std::make_unique<Trainer>(world_, deck_, plan_, task_, window_, board_);
  check_place();
  start_ = restart();
  if (world_.trainer() == 0) open_outputs();
  if (trainer_) writer_ = std::make_unique<CheckpointWriter>(io_, io_comm_, checkpoint_place());
  if (world_.is_searcher())
    searcher_ = std::make_unique<Searcher>(world_, deck_, plan_, task_, window_, board_,
                                           Searcher::Start{start_.step, start_.unit, start_.phase});
  if (trainer_) trainer_->begin();
}

void Run::open_outputs() {
  make_folder(folder_, "run.folder and run.name");
  make_folder(checkpoint_place().folder, "checkpoint.folder");
  if (!checkpoint_place().local.empty()) make_folder(checkpoint_place().local, "checkpoint.local");
  std::ofstream(folder_ + "/deck.ini") << deck_.print();
  Recorder::Setup setup;
  setup.folder = folder_;
  setup.group = deck_.get<ObjectiveDeck>().group;
  setup.reward_parts = task_.layout().reward_parts;
  setup.description = describe(deck_, world_);
  setup.description.settings.push_back("trainers on " + trainer_->device() + "; gradients: " + trainer_->transport());
  setup.steps = deck_.get<TrainerDeck>().steps;
  setup.batch = deck_.get<TrainerDeck>().batch;
  setup.searchers = plan_.roles.searchers;
  setup.restart_step = start_.step;
  setup.first_unit = start_.unit;
  setup.seconds_before = seconds_before_;
  setup.row_seconds = row_seconds_before_;
  setup.progress = shows_progress(deck_.get<RunDeck>().progress);
  recorder_ = std::make_unique<Recorder>(io_, setup, task_.exact());
  for (const auto* lines : {&setup.description.build, &setup.description.libraries, &setup.description.settings})
    for (const std::string& line : *lines) std::printf("%s\n", line.c_str());
  if (!recorder_->note().empty()) std::printf("%s\n", recorder_->note().c_str());
  if (start_.step >= 0) std::printf("restarted at step %lld\n", static_cast<long long>(start_.step));
  for (const std::string& line : restart_notes_) std::printf("%s\n", line.c_str());
  std::printf("run %s: %lld updates of %lld trajectories\n", folder_.c_str(), static_cast<long long>(setup.steps),
              static_cast<long long>(setup.batch));
  std::fflush(stdout);
}

int Run::execute() {
  loop();
  const bool interrupted = trainer_ && trainer_->agreed().interrupt && !trainer_->done();
  if (trainer_) interrupted ? interrupt() : finish();
  int64_t what[] = {interrupted ? 1 : 0, interrupted && too_short() ? 1 : 0};
  world_.comm().max(what);
  return what[1] != 0 ? kTooShort : what[0] != 0 ? kInterrupted : kDone;
}

std::string Run::role() const {
  std::string role;
  if (trainer_) role = "trainer " + std::to_string(world_.trainer());
  if (searcher_) role += (role.empty() ? "" : " and ") + ("searcher " + std::to_string(world_.searcher()));
  return role;
}

void Run::loop() {
  constexpr auto kNap = std::chrono::microseconds(20);
  Watchdog watchdog(deck_.get<RunDeck>().watchdog, role(), states_, world_.comm().size());
  const auto step_made = [&] { watchdog.step(trainer_ ? trainer_->steps_done() : searcher_->seen_step()); };
  last_update_ = started_.seconds();
  while (trainer_ ? !trainer_->finished() : !searcher_->stopped()) {
    const int64_t seen = searcher_ ? searcher_->seen_step() : 0;
    const bool sampled = searcher_ && searcher_->step();
    if (sampled || (searcher_ && searcher_->seen_step() != seen)) step_made();
    if (!trainer_) mpi::set_step(searcher_->seen_step());
    if (!trainer_ && signals::stop_asked()) searcher_->pass_on_stop();
    if (trainer_) trainer_->ask(asked());
    const bool trained = trainer_ && trainer_->step();
    if (trained && trainer_->at_update()) {
      step_made();
      after_update();
    }
    if (trainer_) answer();
    world_.comm().poll();
    if (sampled || trained) continue;
    const Stopwatch watch;
    std::this_thread::sleep_for(kNap);
    if (searcher_) searcher_->idle(watch.seconds());
    if (trainer_) trainer_->idle(watch.seconds());
  }
}

void Run::after_update() {
  const int64_t step = trainer_->steps_done();
  mpi::set_step(step);
  writer_->check();
  trainer_->count_checkpoints(writer_->take_figures());
  if (recorder_) recorder_->take_reports(window_);
  if (step % deck_.get<RunDeck>().interval == 0) {
    const Interval interval = trainer_->take_interval();
    if (recorder_) recorder_->row(interval, step);
  }
  const int64_t evaluations = deck_.get<EvaluationDeck>().every;
  if (recorder_ && evaluations > 0 && step % evaluations == 0) recorder_->samples(step, trainer_->notes());
  const int64_t every = deck_.get<CheckpointDeck>().every;
  if (every > 0 && step % every == 0) checkpoint();
  const double now = started_.seconds();
  longest_update_ = std::max(longest_update_, now - last_update_);
  last_update_ = now;
}

void Run::finish() {
  trainer_->publish(/*stop=*/true);
  const int64_t step = trainer_->steps_done();
  if (step % deck_.get<RunDeck>().interval != 0) {
    const Interval interval = trainer_->take_interval();
    if (recorder_) recorder_->row(interval, step);
  }
  if (recorder_) {
    recorder_->ends_at(step);
    recorder_->take_reports(window_);
  }
  checkpoint();  // written while trainer 0 evaluates
  if (recorder_) {
    recorder_->evaluation(step, task_.evaluate(trainer_->policy(), {0, 1},
                                               Keys{static_cast<uint64_t>(deck_.get<RunDeck>().seed), {}, {}}));
    recorder_->samples(step, trainer_->notes());
  }
  writer_->wait();
  if (!recorder_) return;
  task_.export_policy(trainer_->policy(), folder_);
  recorder_->close();
  std::printf("%s\n", recorder_->summary().c_str());
  if (const std::string line = writer_->summary(); !line.empty()) std::printf("%s\n", line.c_str());
  std::printf("results are in %s: apps/tightrope-report %s\n", folder_.c_str(), folder_.c_str());
}

void Run::interrupt() {
  trainer_->publish(/*stop=*/true);
  checkpoint();
  writer_->wait();
  if (!recorder_) return;
  recorder_->close();
  if (const std::string line = writer_->summary(); !line.empty()) std::printf("%s\n", line.c_str());
  if (too_short())
    std::fprintf(stderr,
                 "run.wall_time is over before the first update (a start and a checkpoint take longer): another start "
                 "would get no further; raise it above %.0f s\n",
                 started_.seconds() + longest_update_);
  std::printf("the run is not finished (%s) step %lld of %lld is saved in %s; go on with --run.restart=auto\n",
              stop_reason_.c_str(), static_cast<long long>(trainer_->steps_done()),
              static_cast<long long>(deck_.get<TrainerDeck>().steps), folder_.c_str());
  std::fflush(stdout);
}

}  // namespace tightrope
