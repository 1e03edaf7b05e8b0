#pragma once
// The temperature (beta) of TBA's loss over a run: Bartoldson et al. 2025 (arXiv 2503.18929), tables 2 and 3.
// It applies where records are trained on, never where they are stored: an old record is trained on at today's value.
#include <cstdint>

namespace tightrope {

struct TemperatureSchedule {
  double start = 1, end = 1;
  int64_t decay_steps = 0;  // updates from start to end along a line; 0: start, always
  int64_t jump_at = 0;      // from this update on it is `end`, wherever the line had come to; 0: decay_steps

  // For the 1-based update u: start + (end - start)(u - 1)/decay_steps, never past end; from jump_at on end.
  double value(int64_t update) const;
};

}  // namespace tightrope
