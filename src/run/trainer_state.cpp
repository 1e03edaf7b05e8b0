// What a trainer puts into a checkpoint and takes from it.
#include "tightrope/base/check.hpp"
#include "tightrope/run/trainer.hpp"

namespace tightrope {
namespace {

std::vector<float> copy_of(const Tensor& tensor) {
  const float* first = tensor.const_data_ptr<float>();
  return {first, first + tensor.numel()};
}

Tensor tensor_of(const std::vector<float>& values) {
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())}, at::kFloat).clone();
}

}  // namespace

void Trainer::save(CheckpointData& data) const {
  const ParameterSet& set = policy_->parameters;
  SavedParameters saved;
  saved.name = "policy";
  for (const Parameter& parameter : set.shapes())
    saved.rows.push_back({parameter.name, parameter.group, parameter.shape, parameter.offset});
  saved.arrays = {{"weights", copy_of(set.flat())},
                  {"adam_first", copy_of(optimiser_->first_moment())},
                  {"adam_second", copy_of(optimiser_->second_moment())}};
  data.parameters.push_back(std::move(saved));
  data.step = steps_done();
  data.clocks["policy"] = steps_done();
  data.integers["phase"] = phase_;
  data.integers["lanes_done"] = lanes_done_;
  data.integers["updates_in_phase"] = updates_in_phase_;
  data.index = index_.snapshot();
  data.offsets = {0};
  for (const IndexEntry& entry : data.index.entries) {
    const auto record = window_.view(entry.slot, entry.ticket);
    EXPECT(!record.empty());
    data.records.insert(data.records.end(), record.begin(), record.end());
    data.offsets.push_back(static_cast<int64_t>(data.records.size()));
  }
}

void Trainer::restore(const CheckpointData& data) {
  const SavedParameters& saved = data.parameters.at(0);
  VALIDATE(static_cast<int64_t>(saved.arrays.at("weights").size()) == policy_->parameters.size(),
           "the checkpoint holds another policy",
           std::to_string(saved.arrays.at("weights").size()) + " parameters instead of " +
               std::to_string(policy_->parameters.size()),
           "restart with the deck that is in the checkpoint, or with --run.restart=no");
  VALIDATE(static_cast<int64_t>(data.index.entries.size()) <= index_.capacity(), "the checkpoint's store does not fit",
           std::to_string(data.index.entries.size()) + " records",
           "give replay.bytes and replay.capacity at least their old values");
  policy_->parameters.flat().copy_(tensor_of(saved.arrays.at("weights")));
  policy_->parameters.changed();
  optimiser_->restore(data.step, tensor_of(saved.arrays.at("adam_first")), tensor_of(saved.arrays.at("adam_second")));
  phase_ = data.integers.at("phase");
  lanes_done_ = data.integers.at("lanes_done");
  updates_in_phase_ = data.integers.at("updates_in_phase");
  index_.restore(data.index);
  for (size_t i = 0; i < data.index.entries.size(); ++i) {
    const auto first = static_cast<size_t>(data.offsets[i]), last = static_cast<size_t>(data.offsets[i + 1]);
    const IndexEntry& entry = data.index.entries[i];
    window_.write(entry.slot, entry.ticket, std::span(data.records).subspan(first, last - first));
  }
}

}  // namespace tightrope
