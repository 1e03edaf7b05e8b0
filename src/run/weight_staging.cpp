#include "tightrope/run/weight_staging.hpp"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace tightrope {
namespace {

const c10::impl::DeviceGuardImplInterface& guard(const Tensor& tensor) {
  return *c10::impl::getDeviceGuardImpl(tensor.device().type());
}

}  // namespace

WeightStaging::WeightStaging(const Tensor& flat)
    : flat_(flat), stream_(guard(flat).getStreamFromGlobalPool(flat.device(), /*isHighPriority=*/false)) {
  for (Buffer& buffer : buffers_) {
    buffer.device = at::empty_like(flat_);
    buffer.host = at::empty(flat_.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
    buffer.left = std::make_unique<c10::Event>(flat.device().type());
    buffer.came = std::make_unique<c10::Event>(flat.device().type());
  }
}

void WeightStaging::start(int64_t version) {
  Buffer& buffer = buffers_[started_ % 2];
  const c10::Stream training = guard(flat_).getStream(flat_.device());
  if (started_ >= 2) buffer.came->block(training);  // what the buffer held before is out of it
  buffer.device.copy_(flat_, /*non_blocking=*/true);
  buffer.left->record(training);
  buffer.left->block(stream_);
  {
    const c10::StreamGuard on(stream_);
    buffer.host.copy_(buffer.device, /*non_blocking=*/true);
  }
  buffer.came->record(stream_);
  buffer.version = version;
  ++started_;
}

std::optional<WeightStaging::Copy> WeightStaging::take(bool wait) {
  for (int64_t number = started_ - 1; number >= 0 && number >= started_ - 2; --number) {
    Buffer& buffer = buffers_[number % 2];
    if (buffer.version < 0) return std::nullopt;
    if (wait) buffer.came->synchronize();
    if (!buffer.came->query()) continue;
    const Copy copy{buffer.version, {buffer.host.const_data_ptr<float>(), static_cast<size_t>(buffer.host.numel())}};
    for (Buffer& old : buffers_)
      if (old.version <= copy.version) old.version = -1;
    return copy;
  }
  return std::nullopt;
}

int WeightStaging::waiting() const { return (buffers_[0].version >= 0) + (buffers_[1].version >= 0); }

}  // namespace tightrope
