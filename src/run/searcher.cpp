#include "tightrope/run/searcher.hpp"

#include <cstring>
#include <utility>

#include "tightrope/learn/visit.hpp"
#include "tightrope/run/clock.hpp"
#include "tightrope/tasks/evaluation.hpp"

namespace tightrope {
namespace {

// For a report that has no room for a distribution over many objects: trainer 0's last evaluation has it.
Metrics without_vectors(const Metrics& metrics) {
  Metrics means;
  for (const auto& [name, mean] : metrics.means()) means.add(name, mean.value(), mean.count);
  return means;
}

}  // namespace

Searcher::Searcher(const World& world, const Deck& deck, const Plan& plan, const Task& task, ReplayWindow& window,
                   WeightBoard& board, const Start& start)
    : world_(world),
      task_(task),
      window_(window),
      board_(board),
      deck_(deck.get<SearcherDeck>()),
      explore_(deck.get<ExploreDeck>()),
      layout_(task.layout()),
      lockstep_(deck.get<RunDeck>().mode == "lockstep"),
      seed_(static_cast<uint64_t>(deck.get<RunDeck>().seed)),
      evaluate_every_(deck.get<EvaluationDeck>().every),
      evaluation_slices_(deck.get<EvaluationDeck>().slices),
      policy_(task.make_policy(plan.objective->needs)),
      searcher_(world.searcher()),
      searchers_(plan.roles.searchers),
      lanes_(static_cast<size_t>(plan.roles.trainers)),
      phase_(start.phase),
      last_evaluation_(start.step > 0 && evaluate_every_ > 0 ? (start.step - 1) / evaluate_every_ : -1) {
  status_.cursor = start.cursor + searcher_;
}

bool Searcher::step() {
  const auto control = board_.control();
  stopped_ = control.stop;
  seen_step_ = control.step;
  if (stopped_ || !send()) return false;
  if (!ready(control)) return false;
  const Stopwatch watch;
  evaluate();
  sample();
  status_.busy_seconds += watch.seconds();
  report();
  if (lockstep_ && --left_in_phase_ == 0) end_phase();
  send();
  return true;
}

void Searcher::pass_on_stop() {
  if (std::exchange(status_.stop_asked, 1) == 0) report();
}

// Lockstep: weights change at the start of a phase and never within it.
bool Searcher::ready(const WeightBoard::Control& control) {
  if (!lockstep_) {
    refresh();
    return status_.version >= 0;
  }
  if (left_in_phase_ > 0) return true;
  if (control.phase <= phase_ || (control.version > status_.version && !refresh())) return false;
  phase_ = control.phase;
  left_in_phase_ = deck_.batches_per_phase;
  return true;
}

bool Searcher::refresh() {
  const Stopwatch watch;
  const Tensor& flat = policy_->parameters.flat();
  const auto version =
      board_.refresh(status_.version, {flat.mutable_data_ptr<float>(), static_cast<size_t>(flat.numel())});
  if (version) {
    status_.version = *version;
    policy_->parameters.changed();
  }
  status_.refresh_seconds += watch.seconds();
  status_.busy_seconds += watch.seconds();
  return version.has_value();
}

// One slice per call, so that sampling goes on in between; its weights may be newer than those of the slice before.
void Searcher::evaluate() {
  if (slices_left_ == 0) {
    if (evaluate_every_ == 0 || status_.version / evaluate_every_ <= last_evaluation_) return;
    last_evaluation_ = status_.version / evaluate_every_;
    slices_left_ = evaluation_slices_;
    pending_ = {};
  }
  const int64_t slice = searcher_ + (evaluation_slices_ - slices_left_) * searchers_;
  pending_.merge(task_.evaluate(*policy_, {slice, evaluation_slices_ * searchers_}, Keys{seed_, {}, {}}));
  if (--slices_left_ > 0) return;
  evaluation_ = pending_.pack();
  status_.evaluation = last_evaluation_;
  status_.evaluation_version = status_.version;
}

void Searcher::sample() {
  const int64_t queries = task_.queries(), per_query = deck_.samples_per_query;
  Tensor query = at::empty({deck_.batch}, at::kLong);
  auto* const query_of = query.mutable_data_ptr<int64_t>();
  Keys keys{seed_, {}, {}};
  for (int64_t i = 0; i < deck_.batch; ++i) {
    const int64_t unit = status_.cursor + i / per_query * searchers_;
    query_of[i] = unit % queries;
    keys.visit.push_back(unit / queries);
    keys.k.push_back(i % per_query);
  }
  status_.cursor += deck_.batch / per_query * searchers_;
  const Stopwatch watch;
  Batch batch = task_.sample(*policy_, query, explore_.at(status_.version), keys);
  batch.version.select(1, 0).fill_(status_.version);
  status_.samples += batch.size();
  status_.transitions += batch.length.sum().item<int64_t>();
  count(batch);
  batch = keep(batch);
  if (batch.size() > 0) task_.complete(batch);
  status_.sample_seconds += watch.seconds();
  pack_for_owners(batch);
}

Batch Searcher::keep(const Batch& batch) {
  const int64_t all = deck_.samples_per_query, kept = deck_.keep_per_query > 0 ? deck_.keep_per_query : all;
  if (kept == all && !deck_.skip_equal) return batch;
  const Tensor reward = batch.log_reward().contiguous();
  const auto rows =
      rows_to_keep({reward.const_data_ptr<double>(), static_cast<size_t>(reward.numel())}, all, kept, deck_.skip_equal);
  fresh_.add("sampled_kept", static_cast<double>(rows.size()) / static_cast<double>(batch.size()),
             static_cast<double>(batch.size()));
  return select(batch, at::tensor(rows, at::kLong));
}

void Searcher::count(const Batch& batch) {
  const auto n = static_cast<double>(batch.size());
  const auto mean = [](const Tensor& tensor) { return tensor.to(at::kDouble).mean().item<double>(); };
  fresh_.add("sampled_log_reward", mean(batch.log_reward()), n);
  fresh_.add("sampled_length", mean(batch.length), n);
  fresh_.add("sampled_truncated", mean(batch.finish == static_cast<int>(Finish::truncated)), n);
  if (batch.entropy.defined()) fresh_.add("sampled_entropy", mean(batch.entropy / batch.length.clamp_min(1)), n);
  if (layout_.reward_parts.size() == 1) return;
  for (size_t p = 0; p < layout_.reward_parts.size(); ++p)
    fresh_.add("sampled_" + layout_.reward_parts[p], mean(batch.reward.select(1, static_cast<int64_t>(p))), n);
}

void Searcher::pack_for_owners(const Batch& batch) {
  for (Lane& lane : lanes_) {
    lane.bytes.clear();
    lane.ends.clear();
    lane.sent = 0;
  }
  const auto* query = batch.query.const_data_ptr<int64_t>();
  const auto* id = batch.id.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < batch.size(); ++i) {
    Lane& lane = lanes_[static_cast<size_t>(world_.owner(query[i], id[i], task_.queries()))];
    pack(layout_, batch, i, lane.bytes);
    lane.ends.push_back(lane.bytes.size());
  }
}

bool Searcher::send() {
  bool all = true;
  std::vector<ReplayWindow::Outgoing> records;
  for (size_t t = 0; t < lanes_.size(); ++t) {
    Lane& lane = lanes_[t];
    records.clear();
    for (size_t i = lane.sent; i < lane.ends.size(); ++i) {
      const size_t first = i == 0 ? 0 : lane.ends[i - 1];
      const std::span<const std::byte> payload(lane.bytes.data() + first, lane.ends[i] - first);
      records.push_back({payload.empty() ? RecordKind::phase_end : RecordKind::trajectory, status_.version, payload});
    }
    if (!records.empty()) lane.sent += window_.append(static_cast<int>(t), searcher_, records);
    all = all && lane.empty();
  }
  return all;
}

// An empty record in every lane says that the phase is complete there.
void Searcher::end_phase() {
  for (Lane& lane : lanes_) lane.ends.push_back(lane.bytes.size());
}

void Searcher::report() {
  const std::vector<std::byte> fresh = fresh_.pack();
  status_.fresh_bytes = static_cast<int64_t>(fresh.size());
  const size_t room = static_cast<size_t>(window_.geometry().report_bytes) - sizeof status_ - fresh.size();
  if (evaluation_.size() > room) evaluation_ = without_vectors(Metrics::unpack(evaluation_)).pack();
  std::vector<std::byte> message(sizeof status_);
  std::memcpy(message.data(), &status_, sizeof status_);
  message.insert(message.end(), fresh.begin(), fresh.end());
  message.insert(message.end(), evaluation_.begin(), evaluation_.end());
  window_.report(0, searcher_, message);
}

}  // namespace tightrope
