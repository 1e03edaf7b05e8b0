#include "tightrope/core/batch.hpp"

#include <algorithm>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

// Every tensor field of a batch, so that row operations are written once.
constexpr Tensor Batch::*kFields[] = {&Batch::query,   &Batch::group,   &Batch::id,      &Batch::length,
                                      &Batch::actions, &Batch::values,  &Batch::log_ref, &Batch::log_behaviour,
                                      &Batch::reward,  &Batch::version, &Batch::finish};

// Zero padding along dimension 1 up to `length`; fields without that dimension pass through.
Tensor padded(const Tensor& field, int64_t length) {
  if (field.size(1) == length) return field;
  auto shape = field.sizes().vec();
  shape[1] = length - shape[1];
  return at::cat({field, at::zeros(shape, field.options())}, 1);
}

bool has_transitions(Tensor Batch::*field, const Tensor& tensor) {
  return field == &Batch::actions || field == &Batch::values || (field == &Batch::log_ref && tensor.dim() == 2);
}

}  // namespace

Tensor Batch::log_reward() const { return reward.to(at::kDouble).sum(1); }

Batch select(const Batch& batch, const Tensor& rows) {
  Batch out;
  for (auto field : kFields)
    if ((batch.*field).defined()) out.*field = (batch.*field).index_select(0, rows);
  return out;
}

Batch concatenate(std::span<const Batch> batches) {
  Batch out;
  for (auto field : kFields) {
    std::vector<Tensor> parts;
    int64_t longest = 0;
    for (const Batch& batch : batches) {
      const Tensor& part = batch.*field;
      if (!part.defined()) continue;
      parts.push_back(part);
      if (has_transitions(field, part)) longest = std::max(longest, part.size(1));
    }
    if (parts.empty()) continue;
    EXPECT(parts.size() == batches.size());
    if (has_transitions(field, parts.front()))
      for (Tensor& part : parts) part = padded(part, longest);
    out.*field = at::cat(parts, 0);
  }
  return out;
}

}  // namespace tightrope
