#pragma once
// Which trajectories of a query's visit are worth training on, by their rewards alone.  Off-policy objectives allow any
// choice: log R, log p_ref and the parameters of a trajectory do not depend on why it was kept.
#include <cstdint>
#include <span>
#include <vector>

namespace tightrope {

// Rows to keep, ascending.  reward: of visits that follow one another, `samples` rows each.  Of every visit `kept` rows
// whose rewards vary most: the i highest and the kept - i lowest for the best i (max-variance down-sampling, Xu et al.
// 2025, arXiv 2504.13818); of equal ones the first.  skip_equal leaves out visits whose rewards are all equal: where
// only the reward teaches, they teach nothing (dynamic sampling, Yu et al. 2025, arXiv 2503.14476, sec. 3.2).
std::vector<int64_t> rows_to_keep(std::span<const double> reward, int64_t samples, int64_t kept, bool skip_equal);

}  // namespace tightrope
