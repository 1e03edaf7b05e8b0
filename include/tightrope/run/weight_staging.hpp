#pragma once
// WeightStaging: weights on their way from a trainer's GPU to the weight board, beside the training.  A copy on the GPU
// is made in the order of the training's own work; a stream of its own brings it to pinned memory.  Two copies can be
// on their way.
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace tightrope {

using at::Tensor;

class WeightStaging {
 public:
  explicit WeightStaging(const Tensor& flat);  // (P) float32 on a GPU

  // Starts a copy of the weights as they are; returns without waiting for it.
  void start(int64_t version);

  struct Copy {
    int64_t version;
    std::span<const float> weights;  // until the next start() but one
  };
  // The newest copy that has come and was not given before.  wait: the newest that was started.
  std::optional<Copy> take(bool wait);
  int waiting() const;  // copies that were started and not given; older ones than the last given do not count

 private:
  struct Buffer {
    Tensor device, host;  // (P) float32
    std::unique_ptr<c10::Event> left, came;
    int64_t version = -1;  // -1 = nothing to give
  };

  const Tensor flat_;
  const c10::Stream stream_;
  Buffer buffers_[2];
  int64_t started_ = 0;
};

}  // namespace tightrope
