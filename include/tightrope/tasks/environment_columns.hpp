#pragma once
// Private to EnvironmentTask's sources: where each head lives in the rows that a policy returns.
#include "tightrope/tasks/environment_task.hpp"

namespace tightrope {

struct EnvironmentTask::Columns {
  StatePolicy& net;
  int64_t forward = 0;
  int64_t backward = -1;  // -1 = P_B is uniform
  int64_t flow = -1;      // -1 = none
};

// Leads the sources of the batch's queries along its actions; `states` ends at the last state of each trajectory.
void follow(const Environment& environment, const Batch& batch, std::span<int32_t> states);

}  // namespace tightrope
