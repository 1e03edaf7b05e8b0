#include "tightrope/core/policy.hpp"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <numeric>
#include <stdexcept>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

int64_t values_of(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// Runs after the engine has added everything that a backward pass has for one leaf.
class LeafDone final : public torch::autograd::PostAccumulateGradHook {
 public:
  LeafDone(std::shared_ptr<const ParameterSet::GradientWatcher> watcher, const Extent& extent)
      : watcher_(std::move(watcher)), extent_(extent) {}
  void operator()(const Tensor& /*leaf*/) override { (*watcher_)(extent_); }

 private:
  std::shared_ptr<const ParameterSet::GradientWatcher> watcher_;
  Extent extent_;
};

}  // namespace

void ParameterSet::add(const std::string& name, const std::string& group, std::vector<int64_t> shape) {
  EXPECT(!flat_.defined());
  const int64_t count = values_of(shape);
  if (groups_.empty() || groups_.back().name != group) groups_.push_back({{size(), 0}, group});
  parameters_.push_back({name, group, std::move(shape), size(), {}});
  groups_.back().size += count;
}

void ParameterSet::place(at::Device device) {
  EXPECT(!flat_.defined());
  device_ = device;
}

const Tensor& ParameterSet::flat() const {
  if (flat_.defined()) return flat_;
  flat_ = at::zeros({size()}, at::TensorOptions(device_).dtype(at::kFloat));
  for (Parameter& parameter : parameters_) {
    const int64_t count = values_of(parameter.shape);
    parameter.value = flat_.narrow(0, parameter.offset, count).view(parameter.shape).detach();
    parameter.value.set_requires_grad(true);
  }
  return flat_;
}

const Tensor& ParameterSet::gradient() const {
  if (gradient_.defined()) return gradient_;
  gradient_ = at::zeros_like(flat());
  for (Parameter& parameter : parameters_) {
    const int64_t count = values_of(parameter.shape);
    const Tensor own = gradient_.narrow(0, parameter.offset, count).view(parameter.shape);
    if (parameter.value.grad().defined()) own.copy_(parameter.value.grad());  // of a pass before the first use
    parameter.value.mutable_grad() = own;
  }
  return gradient_;
}

const std::vector<Parameter>& ParameterSet::parameters() const {
  flat();
  return parameters_;
}

const Tensor& ParameterSet::at(const std::string& name) const {
  for (const Parameter& parameter : parameters())
    if (parameter.name == name) return parameter.value;
  throw std::out_of_range("no parameter is called " + name);
}

int64_t ParameterSet::size() const { return groups_.empty() ? 0 : groups_.back().end(); }

void ParameterSet::zero_gradient() { gradient().zero_(); }

void ParameterSet::watch_gradient(GradientWatcher watcher) {
  watcher_ = std::make_shared<const GradientWatcher>(std::move(watcher));
  gradient();
  for (const Parameter& parameter : parameters_)
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameter.value, std::make_unique<LeafDone>(watcher_, Extent{parameter.offset, parameter.value.numel()}));
}

}  // namespace tightrope
