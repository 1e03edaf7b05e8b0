#include "tightrope/policies/token_draw_cpu.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "tightrope/policies/vector_cpu.hpp"

namespace tightrope {
namespace {

constexpr int64_t kBlock = 256;  // tokens whose exponentials are added in float32; blocks are added in double

float largest_of(std::span<const float> logits) {
  Floats most = broadcast(logits[0]);
  const auto n = static_cast<int64_t>(logits.size());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = larger(most, load(logits.data() + i));
  return largest(larger(most, load_some(logits.data() + i, n - i, logits[0])));
}

// softmax(logits / temperature), less its division: tokens weigh exp((logit - top) / temperature).
struct Density {
  std::span<const float> logits;
  float top, inverse;          // largest logit, 1 / temperature
  std::vector<double> blocks;  // sums of weights
  double total = 0;
  double weighted = 0;  // sum of weight * exponent

  Floats exponent(int64_t i) const {
    const int64_t rest = static_cast<int64_t>(logits.size()) - i;
    return ((rest >= kLanes ? load(logits.data() + i) : load_some(logits.data() + i, rest, -1e30F)) - top) * inverse;
  }
  double log_share(int64_t token) const { return (double{logits[token]} - top) * inverse - std::log(total); }
  double entropy() const { return std::log(total) - weighted / total; }
};

void measure(Density& density) {
  const auto n = static_cast<int64_t>(density.logits.size());
  density.blocks.clear();
  density.total = density.weighted = 0;
  for (int64_t first = 0; first < n; first += kBlock) {
    Floats sum{}, weighted{};
    for (int64_t i = first; i < std::min(n, first + kBlock); i += kLanes) {
      const Floats exponent = density.exponent(i), weight = exponential(exponent);
      sum += weight;
      weighted = multiply_add(weight, exponent, weighted);
    }
    density.blocks.push_back(sum_of(sum));
    density.total += density.blocks.back();
    density.weighted += sum_of(weighted);
  }
}

int64_t pick(const Density& density, double u) {
  double left = u * density.total;
  size_t block = 0;
  for (; block + 1 < density.blocks.size() && left >= density.blocks[block]; ++block) left -= density.blocks[block];
  while (density.blocks[block] == 0) --block;  // rounding went past the last block with a weight
  const int64_t first = static_cast<int64_t>(block) * kBlock;
  const auto end = std::min(first + kBlock, static_cast<int64_t>(density.logits.size()));
  int64_t last = first;  // with a weight: where rounding leaves nothing else
  for (int64_t i = first; i < end; i += kLanes) {
    const Floats weight = exponential(density.exponent(i));
    for (int64_t lane = 0; lane < std::min<int64_t>(kLanes, end - i); ++lane) {
      if (weight[lane] == 0) continue;
      last = i + lane;
      left -= weight[lane];
      if (left < 0) return last;
    }
  }
  return last;
}

struct Kept {
  int64_t token;
  float weight;
};

bool rarer(const Kept& a, const Kept& b) { return a.weight != b.weight ? a.weight < b.weight : a.token > b.token; }

// Tokens, in the order of ids, that weigh at least `least` and something.
std::vector<Kept> tokens_from(const Density& density, float least) {
  const auto n = static_cast<int64_t>(density.logits.size());
  std::vector<Kept> list;
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats weight = exponential(density.exponent(i));
    if (largest(weight) < least) continue;
    for (int64_t lane = 0; lane < std::min<int64_t>(kLanes, n - i); ++lane)
      if (weight[lane] >= least && weight[lane] > 0) list.push_back({i + lane, weight[lane]});
  }
  return list;
}

// The least set of most probable tokens with a share of at least top_p, in the order of ids.  Tokens with less than
// (1 - top_p) / V each have less than 1 - top_p together, so none of them is needed.  Of the others, only those about
// as probable as the last one of the set are sorted.
std::vector<Kept> nucleus(const Density& density, double top_p) {
  const double share = 0.999 * (1 - top_p) / static_cast<double>(density.logits.size());
  std::vector<Kept> list = tokens_from(density, static_cast<float>(share * density.total));
  const auto bin_of = [](const Kept& kept) { return std::bit_cast<uint32_t>(kept.weight) >> 19; };  // of 1/16 octave
  std::array<double, (0x3f800000U >> 19) + 1> mass{};  // the largest weight is 1
  for (const Kept& each : list) mass[bin_of(each)] += each.weight;
  double left = top_p * density.total;
  size_t bin = mass.size() - 1;
  for (; bin > 0 && left > mass[bin]; --bin) left -= mass[bin];
  std::vector<Kept> about;
  std::ranges::copy_if(list, std::back_inserter(about), [&](const Kept& each) { return bin_of(each) == bin; });
  std::ranges::sort(about, [](const Kept& a, const Kept& b) { return rarer(b, a); });
  if (about.empty()) return list;  // rounding: all of them are needed
  size_t last = 0;
  while (last + 1 < about.size() && (left -= about[last].weight) > 0) ++last;
  std::erase_if(list, [&](const Kept& each) { return rarer(each, about[last]); });
  return list;
}

void draw_from_nucleus(const Density& density, double top_p, double u, DrawnToken& drawn) {
  const std::vector<Kept> kept = nucleus(density, top_p);
  double total = 0;
  for (const Kept& each : kept) total += each.weight;
  size_t at = 0;
  for (double left = u * total - double{kept[0].weight}; left >= 0 && at + 1 < kept.size(); left -= kept[at].weight)
    ++at;
  drawn.token = kept[at].token;
  drawn.log_behaviour = std::log(double{kept[at].weight} / total);
}

}  // namespace

DrawnToken draw_token(std::span<const float> logits, const TokenLaw& law, double u) {
  thread_local Density policy, behaviour;  // their blocks keep their memory
  const float top = largest_of(logits);
  const auto density_at = [&](Density& density, double temperature) {
    density.logits = logits;
    density.top = top;
    density.inverse = static_cast<float>(1 / temperature);
    measure(density);
  };
  density_at(policy, law.temperature);
  DrawnToken drawn;
  drawn.entropy = policy.entropy();
  if (!std::isfinite(drawn.entropy)) return drawn;
  if (law.greedy) {
    drawn.token = std::find(logits.begin(), logits.end(), top) - logits.begin();
  } else {
    const bool explores = law.explore_temperature != 1;
    if (explores) density_at(behaviour, law.temperature * law.explore_temperature);
    const Density& from = explores ? behaviour : policy;
    if (law.top_p < 1) {
      draw_from_nucleus(from, law.top_p, u, drawn);
    } else {
      drawn.token = pick(from, u);
      drawn.log_behaviour = from.log_share(drawn.token);
    }
  }
  drawn.log_policy = policy.log_share(drawn.token);
  return drawn;
}

}  // namespace tightrope
