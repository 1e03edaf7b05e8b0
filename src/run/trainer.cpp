#include "tightrope/run/trainer.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

std::span<float> floats(const Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// Adds the time of a scope to a sum.
class Timed {
 public:
  explicit Timed(double& sum) : sum_(sum) {}
  ~Timed() { sum_ += watch_.seconds(); }

 private:
  double& sum_;
  Stopwatch watch_;
};

}  // namespace

Trainer::Trainer(const World& world, const Deck& deck, const Plan& plan, const Task& task, ReplayWindow& window,
                 WeightBoard& board)
    : world_(world),
      task_(task),
      plan_(plan),
      window_(window),
      board_(board),
      deck_(deck.get<TrainerDeck>()),
      layout_(task.layout()),
      lockstep_(deck.get<RunDeck>().mode == "lockstep"),
      overlap_(deck.get<CollectiveDeck>().overlap),
      sharded_(deck_.shard == "optimizer"),
      seed_(static_cast<uint64_t>(deck.get<RunDeck>().seed)),
      policy_(task.make_policy(plan.objective->needs)),
      index_(deck.get<ReplayDeck>(), plan.geometry.slots) {
  ParameterSet& parameters = policy_->parameters;
  if (plan.on_gpus) parameters.place(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(plan.gpu)));
  policy_->initialise(seed_);
  const bool direct = plan.on_gpus && plan.collective.kind == "nccl" && plan.collective.precision == "float32";
  collective_ = make_collective(plan.collective, plan.gradient, world.trainers(), direct);
  if (plan.on_gpus && !direct && (plan.roles.trainers > 1 || plan.collective.kind == "nccl"))
    mirror_ = at::empty({parameters.size()}, at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
  optimiser_ = std::make_unique<Optimiser>(
      deck_.optimiser, parameters, deck_.steps,
      sharded_ ? plan.gradient.shard(world.trainer()) : std::vector<Extent>{{0, parameters.size()}});
  gradient_sum_ = std::make_unique<GradientSum>(plan.gradient, world.trainer(), *collective_,
                                                floats(mirror_.defined() ? mirror_ : parameters.gradient()), sharded_);
  // Other processors may round the first weights differently, and differences would stay for good.
  reach(parameters.flat(), [this](std::span<float> values) { gradient_sum_->broadcast(values); });
  if (plan.on_gpus && world.trainer() == 0) staging_ = std::make_unique<WeightStaging>(parameters.flat());
  parameters.watch_gradient([this](const Extent& values) { gradient_sum_->complete(values); });
}

// Runs what sums on values where it can reach them.
template <class Run>
void Trainer::reach(const Tensor& values, Run run) {
  if (!mirror_.defined()) return run(floats(values));
  mirror_.copy_(values);
  run(floats(mirror_));
  values.copy_(mirror_);
}

void Trainer::begin() { staging_ ? publish_now(/*stop=*/false) : publish(/*stop=*/false); }

bool Trainer::step() {
  updated_ = false;
  const Stopwatch watch;
  serve_board();
  const bool moved = drain();
  const bool collected = !lockstep_ || lanes_done_ == plan_.roles.searchers;
  // In lockstep every trainer must have the whole phase before any looks at what it can draw.
  const bool mine = collected && (lockstep_ || can_draw());
  const bool all = agree(mine);
  others_lack_ = mine && !all;
  if (!all || stops()) {
    if (moved) interval_.busy_seconds += watch.seconds();
    return moved;
  }
  if (!lockstep_ || agree(can_draw())) {
    update();
    updated_ = at_boundary_ = true;
    ++updates_in_phase_;
  } else {
    updates_in_phase_ = deck_.updates_per_phase;  // too little to draw from: sample another phase first
  }
  if (lockstep_) {
    if (updates_in_phase_ >= deck_.updates_per_phase) end_phase();
  } else if (steps_done() % deck_.publish_every == 0) {
    publish(false);
  }
  interval_.busy_seconds += watch.seconds();
  return true;
}

void Trainer::end_phase() {
  ++phase_;
  lanes_done_ = 0;
  updates_in_phase_ = 0;
  between_phases_ = true;
  publish(false);
}

// Lane order is store order in lockstep, so that the same records always get the same tickets.
bool Trainer::drain() {
  const Timed timed(interval_.drain_seconds);
  constexpr size_t kAtOnce = 1024;  // records per step, so that updates go on
  size_t moved = 0;
  const auto deliver_here = [this](const LaneRecord& record) { deliver(record); };
  if (lockstep_) {
    while (lanes_done_ < plan_.roles.searchers) {
      const int64_t lane = lanes_done_;
      const size_t taken = window_.drain(static_cast<int>(lane), kAtOnce, deliver_here);
      moved += taken;
      if (lanes_done_ == lane && taken == 0) break;
    }
    return moved > 0;
  }
  // In turn, a batch at a time, so that where room is short no lane starves.
  const auto takes = [this] { return others_lack_ || index_.room_to_insert(); };
  for (int empty = 0; empty < plan_.roles.searchers && takes() && moved < kAtOnce;) {
    const size_t taken = window_.drain(next_lane_, static_cast<size_t>(deck_.batch), deliver_here);
    moved += taken;
    empty = taken > 0 ? 0 : empty + 1;
    next_lane_ = (next_lane_ + 1) % plan_.roles.searchers;
  }
  return moved > 0;
}

void Trainer::deliver(const LaneRecord& record) {
  between_phases_ = false;
  if (record.kind == RecordKind::phase_end) {
    ++lanes_done_;
    return;
  }
  const RecordHead head = record_head(layout_, record.payload);
  IndexEntry entry;
  entry.query = head.query;
  entry.id = head.id;
  entry.version = head.version;
  entry.length = head.length;
  entry.content = head.content;
  entry.log_reward = head.log_reward;
  const auto slot = index_.insert(entry);
  if (slot) window_.write(*slot, index_.at(*slot).ticket, record);
}

bool Trainer::can_draw() {
  index_.set_step(steps_done());
  const int64_t k = deck_.batch / plan_.groups;
  return index_.limit(plan_.groups_of(world_.trainer()), k) == ReplayIndex::Limit::none;
}

bool Trainer::agree(bool mine) {
  int64_t votes[5] = {mine, !lockstep_ || between_phases_, asked_.checkpoint, asked_.interrupt, asked_.finish};
  if (world_.trainers().size() > 1) world_.trainers().sum(votes);
  at_boundary_ = votes[1] == world_.trainers().size();
  agreed_.checkpoint = agreed_.checkpoint || votes[2] > 0;
  agreed_.interrupt = agreed_.interrupt || votes[3] > 0;
  agreed_.finish = agreed_.finish || votes[4] > 0;
  return votes[0] == world_.trainers().size();
}

Batch Trainer::gather(const std::vector<IndexEntry>& drawn) {
  const Timed timed(interval_.draw_seconds);
  std::vector<std::span<const std::byte>> records;
  records.reserve(drawn.size());
  for (const IndexEntry& entry : drawn) {
    records.push_back(window_.view(entry.slot, entry.ticket));
    EXPECT(!records.back().empty());
  }
  Batch batch = unpack(layout_, records);
  const int64_t k = deck_.batch / plan_.groups;
  batch.group = at::empty({batch.size()}, at::kLong);
  for (int64_t i = 0; i < batch.size(); ++i) batch.group.mutable_data_ptr<int64_t>()[i] = i / k;
  return batch;
}

void Trainer::update() {
  const auto drawn = draw();
  const Batch batch = gather(drawn);
  policy_->parameters.zero_gradient();
  const int64_t k = deck_.batch / plan_.groups;
  for (int64_t first = 0; first < batch.size();) {
    const int64_t fit = task_.rows_at_once(batch, first) / k * k;  // whole groups, one at least
    const int64_t count = std::min(std::max(fit, k), batch.size() - first);
    const bool whole = count == batch.size();
    const bool last = first + count == batch.size();
    if (overlap_ && last && !mirror_.defined()) gradient_sum_->begin();  // the parts are summed here, once
    learn(std::span(drawn).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
          whole ? batch : select(batch, at::arange(first, first + count)));
    first += count;
  }
  serve_board();  // while the GPU computes
  const double norm = descend();
  interval_.grad_norm += norm / static_cast<double>(world_.trainers().size());
  interval_.updates += 1.0 / static_cast<double>(world_.trainers().size());
}

std::vector<IndexEntry> Trainer::draw() {
  const Timed timed(interval_.draw_seconds);
  const int64_t k = deck_.batch / plan_.groups;
  return index_.draw(plan_.groups_of(world_.trainer()), k, seed_ + static_cast<uint64_t>(world_.trainer()));
}

// Adds the gradient of a part's share of the loss.
void Trainer::learn(std::span<const IndexEntry> drawn, const Batch& part) {
  Scores scores;
  ObjectiveResult result;
  {
    const Timed timed(interval_.score_seconds);
    scores = task_.score(*policy_, part);
    result = plan_.objective->evaluate(scores, part, plan_.values_at(steps_done() + 1));
  }
  {
    // Divided by the global count: the sum over parts and trainers is then the gradient of the whole batch's mean.
    const Timed timed(interval_.backward_seconds);
    (result.loss.sum() / static_cast<double>(deck_.batch)).backward();
  }
  count(drawn, part, scores, result);
}

// Returns the gradient's norm before clipping.
double Trainer::descend() {
  {
    const Timed timed(interval_.backward_seconds);
    if (mirror_.defined()) {
      reach(policy_->parameters.gradient(), [this](std::span<float>) { gradient_sum_->finish(); });
    } else {
      gradient_sum_->finish();
    }
  }
  const Timed timed(interval_.optimise_seconds);
  const double norm = gradient_norm();
  VALIDATE(std::isfinite(norm), "the gradient is not finite", "norm " + std::to_string(norm),
           "lower trainer.learning_rate, or set trainer.clip");
  optimiser_->step(norm);
  if (sharded_) reach(policy_->parameters.flat(), [this](std::span<float> values) { gradient_sum_->gather(values); });
  return norm;
}

double Trainer::gradient_norm() const {
  const double own = optimiser_->norm();
  if (!sharded_) return own;
  double squares = own * own;
  world_.trainers().sum(std::span(&squares, 1));
  return std::sqrt(squares);
}

}  // namespace tightrope
