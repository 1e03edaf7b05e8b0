#pragma once
// Policy: named parameters on one flat buffer.  Everything that moves whole parameter sets (optimiser, weight
// board, gradient mean, checkpoint) sees two contiguous float32 tensors and never a network.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tightrope/core/extent.hpp"

namespace tightrope {

using at::Tensor;

struct Parameter {
  std::string name;
  std::string group;  // parameters of one group share a learning rate
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first value in flat()
  Tensor value;        // leaf with requires_grad, a view of flat(); its grad is a view of gradient()
};

struct ParameterGroup : Extent {  // values in flat(); groups are contiguous, in order of appearance
  std::string name;
};

class ParameterSet {
 public:
  // All of one group must be added in a row, before any value is asked for.
  void add(const std::string& name, const std::string& group, std::vector<int64_t> shape);

  // Where values and gradients lie: on the CPU, unless said before any value is asked for.
  void place(at::Device device);
  at::Device device() const { return device_; }

  // Values and gradients begin at zero and take memory from their first use: counting the parameters of a large model
  // needs none, sampling from it needs no gradients.
  const Tensor& flat() const;                                           // (P) float32
  const Tensor& gradient() const;                                       // (P) float32
  const Tensor& at(const std::string& name) const;                      // leaf; throws std::out_of_range
  const std::vector<Parameter>& parameters() const;                     // with their values
  const std::vector<Parameter>& shapes() const { return parameters_; }  // without
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  int64_t size() const;
  void zero_gradient();

  // `watcher` hears during a backward pass, while its caller waits, which values of gradient() the pass will not touch
  // again: each at most once; parameters that the loss does not depend on are never mentioned.  On the caller's thread,
  // but for leaves off the CPU, which have autograd's own thread for their device.
  using GradientWatcher = std::function<void(const Extent&)>;
  void watch_gradient(GradientWatcher watcher);
  // For a backward pass that adds to gradient() itself, past the leaves.
  void gradient_done(const Extent& extent) const {
    if (watcher_) (*watcher_)(extent);
  }

  // Counts changes of the values, for whoever keeps something that was made from them.
  int64_t revision() const { return revision_; }
  void changed() { ++revision_; }  // say so after writing into flat()

 private:
  mutable std::vector<Parameter> parameters_;
  std::vector<ParameterGroup> groups_;
  at::Device device_{at::DeviceType::CPU};
  mutable Tensor flat_, gradient_;
  std::shared_ptr<const GradientWatcher> watcher_;  // shared with the leaves' hooks
  int64_t revision_ = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;
  // Deterministic starting values, a function of the seed alone.
  virtual void initialise(uint64_t seed) = 0;
  ParameterSet parameters;
};

// What a network reads of N states: `active` one-hot features each.
struct Observation {
  Tensor active;  // (N,F) int32 feature indices in [0, width); -1 = none
};

// A policy over the states of an environment: one row of heads per state.
class StatePolicy : public Policy {
 public:
  // (N,O) float32 raw heads: forward logits, then backward logits, then log flow, as far as asked for.
  // On the CPU, wherever the parameters are.  Builds an autograd graph where gradients are enabled.
  virtual Tensor heads(const Observation& observation) = 0;
};

}  // namespace tightrope
