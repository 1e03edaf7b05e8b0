#include "metrics_columns.hpp"

#include <algorithm>

namespace tightrope {
namespace {

constexpr MetricsColumn columns[] = {
    // both tables
    {"step", "updates", "optimiser steps done"},
    {"trajectories", "trajectories", "trained so far, over all trainers"},
    {"log_z", "nats", "estimate of log Z (/training: mean over the interval; /exact: the true value)"},
    // /training
    {"seconds", "s", "wall-clock time since the run began, restarts left out"},
    {"loss", "nats^2", "mean over the interval of the objective per trajectory"},
    {"log_reward", "nats", "mean log R of the trajectories trained on"},
    {"grad_norm", "", "mean norm of the gradient before clipping"},
    {"length", "transitions", "mean length of the trajectories trained on"},
    {"staleness", "updates", "mean of step - version of the trajectories trained on"},
    {"reuse", "draws", "mean number of times that a drawn trajectory had been drawn before"},
    {"replay_records", "records", "in the stores, over all trainers"},
    {"replay_fill", "1", "share of the stores' capacity in use"},
    {"searcher_rate", "trajectories/s", "sampled, all searchers together, over the interval"},
    {"trainer_rate", "trajectories/s", "trained on, all trainers together, over the interval"},
    {"searcher_idle", "1", "share of the searchers' time spent waiting"},
    {"trainer_idle", "1", "share of the trainers' time spent waiting"},
    {"skipped", "trajectories", "lost to overtaking in the lanes, so far"},
    {"refused", "trajectories", "refused by the index (policy or duplicate), so far"},
    {"inserted", "trajectories", "taken into the stores, so far"},
    {"seconds_sample", "s", "spent sampling in the interval, over all searchers"},
    {"seconds_refresh", "s", "spent fetching weights, over all searchers"},
    {"seconds_drain", "s", "spent moving records from lanes to stores, over all trainers"},
    {"seconds_draw", "s", "spent drawing and unpacking batches, over all trainers"},
    {"seconds_score", "s", "spent on the forward pass and the objective, over all trainers"},
    {"seconds_backward", "s", "spent on the backward pass and the mean over the trainers, over all trainers"},
    {"seconds_optimise", "s", "spent on the optimiser's step, over all trainers"},
    {"seconds_publish", "s", "spent publishing weights"},
    {"seconds_checkpoint", "s", "that training stood still for checkpoints, over all trainers"},
    {"checkpoint_bandwidth", "bytes/s", "at which the checkpoints finished in the interval were written"},
    {"version", "updates", "of the newest published weights"},
    {"log_ratio", "nats", "mean of log p_theta - log p_ref of what was trained on; on fresh samples the KL to p_ref"},
    {"spread", "nats", "root mean square distance of a trajectory's log Z estimate from its group's mean"},
    {"unique", "1", "share of distinct trajectories within a group"},
    {"truncated", "1", "share of the trajectories trained on that were cut off"},
    {"temperature", "", "that divided log R"},
    {"searcher_transitions", "transitions/s", "sampled (tokens, for text), all searchers together"},
    {"trainer_transitions", "transitions/s", "trained on, all trainers together"},
    {"sampled_log_reward", "nats", "mean log R of the trajectories sampled in the interval"},
    {"sampled_length", "transitions", "mean length of the trajectories sampled in the interval"},
    {"sampled_truncated", "1", "share of them that were cut off"},
    {"sampled_entropy", "nats", "mean over them of the policy's entropy per transition"},
    {"sampled_kept", "1", "share of them that were stored (searcher.keep_per_query, searcher.skip_equal)"},
    {"residual_histogram", "trajectories",
     "trained on, by residual in nats: bins end at -32, -16, -8, -4, -2, -1, -1/2, 0, 1/2, 1, 2, 4, 8, 16, 32"},
    {"staleness_histogram", "trajectories", "drawn in the interval, by staleness in bins 0, 1, 2-3, 4-7, 8-15, ..."},
    {"reuse_histogram", "trajectories", "drawn in the interval, by earlier draws in bins 0, 1, 2-3, 4-7, 8-15, ..."},
    // /evaluation
    {"tv", "1", "total variation between the model's terminal distribution and the target, exact"},
    {"elbo", "nats", "mean of log R + log P_B - log P_F under the policy: a lower bound of log Z"},
    {"kl", "nats", "KL divergence from the model's terminal distribution to the target"},
    {"mean_length", "transitions", "expected length of a trajectory under the policy"},
    {"distribution", "1", "the model's probability of each terminal object, row-major over /exact/shape"},
    {"residual_second_moment", "nats^2", "mean squared residual at log Z = 0 under the policy"},
    {"modes_found", "modes", "modes that at least one evaluated sample belongs to"},
    {"mode_hits", "trajectories", "evaluated samples of each mode"},
    // /exact
    {"target", "1", "the target's probability of each terminal object, row-major over /exact/shape"},
    {"mode", "", "the mode that each terminal object belongs to, -1 for none, row-major over /exact/shape"},
    {"shape", "1", "sizes of the grid of terminal objects"},
};

}  // namespace

std::span<const MetricsColumn> metrics_columns() { return columns; }

MetricsColumn find_metrics_column(const std::string& name) {
  const auto found = std::find_if(std::begin(columns), std::end(columns),
                                  [&](const MetricsColumn& column) { return name == column.name; });
  return found == std::end(columns) ? MetricsColumn{"", "", ""} : *found;
}

}  // namespace tightrope
