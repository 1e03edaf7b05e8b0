#include "tightrope/learn/schedule.hpp"

#include <algorithm>

#include "tightrope/base/check.hpp"

namespace tightrope {

double TemperatureSchedule::value(int64_t update) const {
  EXPECT(update >= 1);
  if (decay_steps == 0) return start;
  if (update >= (jump_at == 0 ? decay_steps : jump_at)) return end;
  const double share = static_cast<double>(update - 1) / static_cast<double>(decay_steps);
  return start + (end - start) * std::min(share, 1.0);
}

}  // namespace tightrope
