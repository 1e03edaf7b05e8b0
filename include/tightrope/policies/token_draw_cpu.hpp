#pragma once
// Private to the text sampler: one token out of one row of logits.
#include <cstdint>
#include <span>

namespace tightrope {

struct TokenLaw {
  double temperature = 1;          // the policy's density is softmax(logits / temperature)
  double explore_temperature = 1;  // behaviour: softmax(logits / (temperature * explore_temperature)), ...
  double top_p = 1;                // ... cut to the least set of most probable tokens with at least this mass
  bool greedy = false;             // behaviour: the first of the largest logits
};

struct DrawnToken {
  int64_t token = 0;
  double log_behaviour = 0;  // nats, of the token under the law that it was drawn from
  double log_policy = 0;     // nats, of the token under the policy's density
  double entropy = 0;        // nats, of the policy's density
};

// By inverse CDF in the order of ids, u in (0,1).  Where a logit is not a number the entropy is
// none either, and nothing else is set.
DrawnToken draw_token(std::span<const float> logits, const TokenLaw& law, double u);

}  // namespace tightrope
