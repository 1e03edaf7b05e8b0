#include "tightrope/run/recorder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

namespace tightrope {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::vector<double> vector_of(const double (&bins)[Interval::kBins]) { return {std::begin(bins), std::end(bins)}; }

constexpr std::string_view kSquare = "_square";

// A mean of squares, X_square, beside the mean X of n values becomes the standard error of X, X_error.
MetricsFile::Values values_of(const Metrics& metrics) {
  MetricsFile::Values values;
  for (const auto& [name, mean] : metrics.means()) {
    if (!name.ends_with(kSquare)) {
      values[name] = mean.value();
      continue;
    }
    const std::string of = name.substr(0, name.size() - kSquare.size());
    const double variance = std::max(mean.value() - metrics.value(of) * metrics.value(of), 0.0);
    values[of + "_error"] = std::sqrt(variance / std::max(mean.count - 1, 1.0));
  }
  return values;
}

}  // namespace

Recorder::Recorder(IoThread& io, const Setup& setup, const Metrics& exact)
    : setup_(setup),
      exact_(exact),
      file_(io, setup.folder + "/metrics.h5", setup.description,
            setup.restart_step < 0 ? MetricsFile::Mode::create : MetricsFile::Mode::resume,
            std::max<int64_t>(setup.restart_step, 0)),
      searchers_(static_cast<size_t>(setup.searchers)),
      fresh_(searchers_.size()) {
  for (size_t s = 0; s < searchers_.size(); ++s) searchers_[s].cursor = setup.first_unit + static_cast<int64_t>(s);
  file_.constants(values_of(exact), exact.vectors());
  open_samples();
}

void Recorder::take_reports(ReplayWindow& window) {
  for (size_t s = 0; s < searchers_.size(); ++s) {
    const auto message = window.take_report(static_cast<int>(s));
    if (!message) continue;
    const int64_t before = searchers_[s].evaluation;
    std::memcpy(&searchers_[s], message->data(), sizeof(SearcherStatus));
    const SearcherStatus& status = searchers_[s];
    const auto rest = std::span(*message).subspan(sizeof(SearcherStatus));
    const auto fresh_bytes = static_cast<size_t>(status.fresh_bytes);
    fresh_[s] = Metrics::unpack(rest.first(fresh_bytes));
    if (status.evaluation <= before || rest.size() == fresh_bytes) continue;
    Pending& pending = evaluations_[status.evaluation];
    pending.metrics.merge(Metrics::unpack(rest.subspan(fresh_bytes)));
    pending.version = std::max(pending.version, status.evaluation_version);
    merge_evaluations();
  }
}

// A searcher that has moved on to a later evaluation will not answer an earlier one.
void Recorder::merge_evaluations() {
  int64_t complete = searchers_.front().evaluation;
  for (const SearcherStatus& status : searchers_) complete = std::min(complete, status.evaluation);
  while (!evaluations_.empty() && evaluations_.begin()->first <= complete) {
    const Pending pending = std::move(evaluations_.begin()->second);
    evaluations_.erase(evaluations_.begin());
    // Of the last version trainer 0 makes one itself: whether a searcher still gets to it is chance.
    const bool last = pending.version >= setup_.steps;
    if (!last && !pending.metrics.means().empty()) evaluation(pending.version, pending.metrics);
  }
}

void Recorder::evaluation(int64_t version, const Metrics& metrics) {
  auto values = values_of(metrics);
  values["step"] = static_cast<double>(version);
  values["trajectories"] = static_cast<double>(version * setup_.batch);
  values["seconds"] = seconds();
  auto vectors = metrics.vectors();
  if (const auto hits = vectors.find("mode_hits"); hits != vectors.end()) {
    double found = 0;
    for (const double count : hits->second) found += count > 0;
    values["modes_found"] = found;
  }
  file_.evaluation(values, vectors);
  last_evaluation_ = values;
}

Recorder::Totals Recorder::totals() const {
  Totals totals;
  for (const SearcherStatus& status : searchers_) {
    totals.samples += static_cast<double>(status.samples);
    totals.transitions += static_cast<double>(status.transitions);
    totals.busy += status.busy_seconds;
    totals.idle += status.idle_seconds;
    totals.refresh += status.refresh_seconds;
    totals.sample += status.sample_seconds;
  }
  for (const Metrics& fresh : fresh_) totals.fresh.merge(fresh);
  return totals;
}

int64_t Recorder::next_unit() const {
  int64_t next = 0;
  for (size_t s = 0; s < searchers_.size(); ++s) next = std::max(next, searchers_[s].cursor - static_cast<int64_t>(s));
  return next;
}

bool Recorder::stop_asked() const {
  return std::ranges::any_of(searchers_, [](const SearcherStatus& status) { return status.stop_asked != 0; });
}

void Recorder::row(const Interval& interval, int64_t step) {
  const Totals now = totals();
  const double n = interval.trajectories, seconds = watch_.seconds(), elapsed = seconds - last_row_seconds_;
  const double trained_for = elapsed + std::exchange(setup_.row_seconds, 0);
  const double busy = now.busy - last_totals_.busy, idle = now.idle - last_totals_.idle;
  last_row_ = {{"step", static_cast<double>(step)},
               {"seconds", this->seconds()},
               {"trajectories", static_cast<double>(step * setup_.batch)},
               {"loss", share(interval.loss, n)},
               {"log_z", share(interval.log_z, n)},
               {"log_reward", share(interval.log_reward, n)},
               {"length", share(interval.length, n)},
               {"grad_norm", share(interval.grad_norm, interval.updates)},
               {"staleness", share(interval.staleness, n)},
               {"reuse", share(interval.uses, n)},
               {"replay_records", interval.replay_records},
               {"replay_fill", share(interval.replay_records, interval.replay_capacity)},
               {"searcher_rate", share(now.samples - last_totals_.samples, elapsed)},
               {"trainer_rate", share(n, trained_for)},
               {"searcher_idle", share(idle, busy + idle)},
               {"trainer_idle", share(interval.idle_seconds, interval.busy_seconds + interval.idle_seconds)},
               {"skipped", interval.skipped},
               {"refused", interval.refused},
               {"inserted", interval.inserted},
               {"version", static_cast<double>(step)},
               {"seconds_sample", now.sample - last_totals_.sample},
               {"seconds_refresh", now.refresh - last_totals_.refresh},
               {"seconds_drain", interval.drain_seconds},
               {"seconds_draw", interval.draw_seconds},
               {"seconds_score", interval.score_seconds},
               {"seconds_backward", interval.backward_seconds},
               {"seconds_optimise", interval.optimise_seconds},
               {"seconds_publish", interval.publish_seconds},
               {"seconds_checkpoint", interval.checkpoint_seconds},
               {"log_ratio", share(interval.log_ratio, n)},
               {"truncated", share(interval.truncated, n)},
               {"temperature", share(interval.temperature, n)},
               {"searcher_transitions", share(now.transitions - last_totals_.transitions, elapsed)},
               {"trainer_transitions", share(interval.length, trained_for)}};
  if (interval.write_seconds > 0) last_row_["checkpoint_bandwidth"] = interval.written_bytes / interval.write_seconds;
  if (setup_.group > 1) {
    last_row_["spread"] = std::sqrt(share(interval.spread, n));
    last_row_["unique"] = share(interval.unique, n);
  }
  const size_t parts = std::min<size_t>(setup_.reward_parts.size(), Interval::kParts);
  for (size_t p = 0; parts > 1 && p < parts; ++p)
    last_row_[setup_.reward_parts[p]] = share(interval.reward_parts[p], n);
  for (const auto& [name, mean] : now.fresh.means()) {  // of the samples of this interval alone
    const auto before = last_totals_.fresh.means().find(name);
    const Mean gone = before == last_totals_.fresh.means().end() ? Mean{} : before->second;
    last_row_[name] = mean.count > gone.count ? (mean.sum - gone.sum) / (mean.count - gone.count) : std::nan("");
  }
  file_.row(last_row_, {{"staleness_histogram", vector_of(interval.staleness_bins)},
                        {"reuse_histogram", vector_of(interval.uses_bins)},
                        {"residual_histogram", vector_of(interval.residual_bins)}});
  last_row_seconds_ = seconds;
  last_totals_ = now;
  if (setup_.progress) show(last_row_);
}

}  // namespace tightrope
