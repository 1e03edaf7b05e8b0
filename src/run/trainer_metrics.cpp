// What a trainer counts about the batches that it trains on, and the records that it shows to people.
#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "tightrope/base/check.hpp"
#include "tightrope/run/trainer.hpp"

namespace tightrope {
namespace {

// 0, 1, 2-3, 4-7, ...; the last bin holds all that is larger.
size_t bin_of(int64_t value) {
  const auto width = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(std::max<int64_t>(value, 0))));
  return std::min<size_t>(width, Interval::kBins - 1);
}

// Edges -32, -16, ..., -1/2, 0, 1/2, ..., 16, 32 nats: eight bins on either side, the outer ones open.
size_t residual_bin(double nats) {
  const double size = std::abs(nats);
  const int magnitude = size < 0.5 ? 0 : std::min(static_cast<int>(std::floor(std::log2(size))) + 2, 7);
  return static_cast<size_t>(nats < 0 ? 7 - magnitude : 8 + magnitude);
}

std::vector<double> doubles(const Tensor& tensor) {
  const Tensor wide = tensor.detach().to(at::kDouble).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

Tensor row_sums(const Tensor& tensor) { return tensor.dim() == 2 ? tensor.to(at::kDouble).sum(1) : tensor; }

}  // namespace

void Trainer::count(std::span<const IndexEntry> drawn, const Batch& part, const Scores& scores,
                    const ObjectiveResult& result) {
  const double temperature = plan_.values_at(steps_done() + 1).temperature;
  const auto loss = doubles(result.loss), log_z = doubles(result.log_z);
  const auto log_pf = doubles(row_sums(scores.log_pf));
  const auto log_ref = doubles(row_sums(scores.log_ref.defined() ? scores.log_ref : part.log_ref));
  const auto reward = doubles(part.reward);
  const auto finish = doubles(part.finish);
  const size_t parts = std::min<size_t>(layout_.reward_parts.size(), Interval::kParts);
  const auto k = static_cast<size_t>(deck_.batch / plan_.groups);
  for (size_t i = 0; i < drawn.size(); ++i) {
    const int64_t stale = steps_done() - drawn[i].version, uses = drawn[i].uses - 1;
    interval_.loss += loss[i];
    interval_.log_z += log_z[i];
    interval_.log_reward += drawn[i].log_reward;
    interval_.length += static_cast<double>(drawn[i].length);
    interval_.log_ratio += log_pf[i] - log_ref[i];
    interval_.truncated += finish[i] == static_cast<double>(Finish::truncated);
    interval_.temperature += temperature;
    for (size_t p = 0; p < parts; ++p) interval_.reward_parts[p] += reward[i * layout_.reward_parts.size() + p];
    interval_.staleness += static_cast<double>(stale);
    interval_.uses += static_cast<double>(uses);
    ++interval_.staleness_bins[bin_of(stale)];
    ++interval_.uses_bins[bin_of(uses)];
  }
  interval_.trajectories += static_cast<double>(drawn.size());
  if (k == 1) return;
  for (size_t first = 0; first < drawn.size(); first += k) {  // group by group
    std::unordered_set<uint64_t> contents;
    double mean = 0;
    const auto log_z_of = [&](size_t i) { return drawn[i].log_reward / temperature + log_ref[i] - log_pf[i]; };
    for (size_t i = first; i < first + k; ++i) mean += log_z_of(i) / static_cast<double>(k);
    for (size_t i = first; i < first + k; ++i) {
      const double residual = mean - log_z_of(i);
      interval_.spread += residual * residual;
      ++interval_.residual_bins[residual_bin(residual)];
      contents.insert(drawn[i].content);
    }
    interval_.unique += static_cast<double>(contents.size());
  }
}

std::vector<TrajectoryNote> Trainer::notes() {
  const at::NoGradGuard no_grad;
  std::vector<TrajectoryNote> notes;
  if (index_.size() == 0) return notes;
  IndexEntry newest = index_.at(0), highest = newest, lowest = newest;
  for (int64_t slot = 1; slot < index_.size(); ++slot) {
    const IndexEntry& entry = index_.at(slot);
    const auto key = [](const IndexEntry& e) { return std::pair(e.version, e.ticket); };
    if (key(entry) > key(newest)) newest = entry;
    if (std::pair(entry.log_reward, key(entry)) > std::pair(highest.log_reward, key(highest))) highest = entry;
    if (std::pair(-entry.log_reward, key(entry)) > std::pair(-lowest.log_reward, key(lowest))) lowest = entry;
  }
  for (const auto& [kind, entry] : {std::pair("newest", newest), {"highest", highest}, {"lowest", lowest}}) {
    const auto record = window_.view(entry.slot, entry.ticket);
    EXPECT(!record.empty());
    Batch batch = unpack(layout_, {&record, 1});
    batch.group = at::zeros({1}, at::kLong);
    TrajectoryNote note{kind, entry, 0, 0, doubles(batch.reward), false, task_.describe(batch, 0)};
    if (note.text.empty()) return {};
    const Scores scores = task_.score(*policy_, batch);
    note.log_pf = doubles(row_sums(scores.log_pf)).front();
    note.log_ref = doubles(row_sums(scores.log_ref.defined() ? scores.log_ref : batch.log_ref)).front();
    note.truncated = batch.finish.item<int8_t>() == static_cast<int8_t>(Finish::truncated);
    notes.push_back(std::move(note));
  }
  return notes;
}

void Trainer::count_checkpoints(const CheckpointWriter::Figures& figures) {
  interval_.checkpoint_seconds += figures.stall_seconds;
  interval_.written_bytes += figures.bytes;
  interval_.write_seconds += figures.write_seconds;
}

double Trainer::skipped() const {
  double skipped = skipped_before_;
  for (int lane = 0; lane < plan_.roles.searchers; ++lane) skipped += static_cast<double>(window_.counts(lane).skipped);
  return skipped;
}

Interval Trainer::take_interval() {
  Interval taken = std::exchange(interval_, {});
  taken.skipped = skipped();
  taken.refused = static_cast<double>(index_.refused());
  taken.inserted = static_cast<double>(index_.inserted());
  taken.replay_records = static_cast<double>(index_.size());
  taken.replay_capacity = static_cast<double>(index_.capacity());
  static_assert(sizeof(Interval) % sizeof(double) == 0 && std::is_trivially_copyable_v<Interval>);
  world_.trainers().sum(std::span(reinterpret_cast<double*>(&taken), sizeof taken / sizeof(double)));
  return taken;
}

}  // namespace tightrope
