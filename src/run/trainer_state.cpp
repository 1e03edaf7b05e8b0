// What a trainer puts into a checkpoint and takes from it.
#include <ATen/ATen.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "tightrope/base/check.hpp"
#include "tightrope/run/trainer.hpp"

namespace tightrope {
namespace {

void copy(const Tensor& tensor, std::vector<float>& values) {
  values.resize(static_cast<size_t>(tensor.numel()));
  at::from_blob(values.data(), tensor.sizes(), at::kFloat).copy_(tensor);
}

// IntervalSums as a row of doubles.
constexpr size_t kSums = sizeof(IntervalSums) / sizeof(double);
static_assert(sizeof(IntervalSums) % sizeof(double) == 0 && std::is_trivially_copyable_v<IntervalSums>);

Tensor tensor_of(const std::vector<float>& values) {
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())}, at::kFloat).clone();
}

}  // namespace

void Trainer::save(CheckpointData& data) const {
  const ParameterSet& set = policy_->parameters;
  data.parameters.resize(1);
  SavedParameters& saved = data.parameters.front();
  saved.name = "policy";
  saved.rows.clear();
  for (const Parameter& parameter : set.shapes())
    saved.rows.push_back({parameter.name, parameter.group, parameter.shape, parameter.offset});
  const Extent share = saved_share(set.size(), world_.trainer(), plan_.roles.trainers);
  copy(set.flat().narrow(0, share.offset, share.size), saved.arrays["weights"]);
  for (const auto& [name, moment] :
       {std::pair("adam_first", optimiser_->first_moment()), {"adam_second", optimiser_->second_moment()}}) {
    std::vector<float>& values = saved.arrays[name];
    if (!sharded_) {
      copy(moment.narrow(0, share.offset, share.size), values);
      continue;
    }
    values.resize(static_cast<size_t>(share.size));
    const Tensor host = moment.cpu();
    gradient_sum_->gather({host.const_data_ptr<float>(), static_cast<size_t>(host.numel())}, share, values);
  }
  data.step = steps_done();
  data.clocks["policy"] = steps_done();
  data.integers["phase"] = phase_;
  data.integers["lanes_done"] = lanes_done_;
  data.integers["updates_in_phase"] = updates_in_phase_;
  const IntervalSums& sums = interval_;
  data.sums["interval"].resize(kSums);
  std::memcpy(data.sums["interval"].data(), &sums, sizeof sums);
  data.sums["skipped"] = {skipped()};
  data.index = index_.snapshot();
  data.records.clear();
  data.offsets = {0};
  for (const IndexEntry& entry : data.index.entries) {
    const auto record = window_.view(entry.slot, entry.ticket);
    EXPECT(!record.empty());
    data.records.insert(data.records.end(), record.begin(), record.end());
    data.offsets.push_back(static_cast<int64_t>(data.records.size()));
  }
}

void Trainer::restore(CheckpointData& data) {
  const SavedParameters& saved = data.parameters.at(0);
  VALIDATE(static_cast<int64_t>(saved.arrays.at("weights").size()) == policy_->parameters.size(),
           "the checkpoint holds another policy",
           std::to_string(saved.arrays.at("weights").size()) + " parameters instead of " +
               std::to_string(policy_->parameters.size()),
           "restart with the deck that is in the checkpoint, or with --run.restart=no");
  for (const IndexEntry& entry : data.index.entries) {
    VALIDATE(
        entry.query >= 0 && entry.query < task_.queries(), "the checkpoint holds other queries",
        "a record of query " + std::to_string(entry.query) + ", and the task has " + std::to_string(task_.queries()),
        "restart with the deck that is in the checkpoint, or with --run.restart=no");
  }
  policy_->parameters.flat().copy_(tensor_of(saved.arrays.at("weights")));
  policy_->parameters.changed();
  optimiser_->restore(data.step, tensor_of(saved.arrays.at("adam_first")), tensor_of(saved.arrays.at("adam_second")));
  phase_ = data.integers.at("phase");
  // All lanes or none, however many there are now: in lockstep nothing is saved between (at_boundary).
  lanes_done_ = data.integers.at("lanes_done") == data.searchers ? plan_.roles.searchers : 0;
  updates_in_phase_ = data.integers.at("updates_in_phase");
  between_phases_ = lanes_done_ == 0;
  if (const auto sums = data.sums.find("interval"); sums != data.sums.end() && sums->second.size() == kSums)
    std::memcpy(static_cast<void*>(static_cast<IntervalSums*>(&interval_)), sums->second.data(), sizeof(IntervalSums));
  if (const auto skipped = data.sums.find("skipped"); skipped != data.sums.end())
    skipped_before_ = skipped->second.at(0);
  restore_store(data, index_, window_);
}

}  // namespace tightrope
