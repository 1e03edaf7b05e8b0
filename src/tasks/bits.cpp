// BitSequence: n bits, written left to right in words of k bits.
//   R(x) = exp(-b min_m Hamming(x, m) / n) over the modes m, which are concatenations of five motifs of eight bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <string>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/tasks/environments.hpp"

namespace tightrope {

void BitsDeck::fields(FieldList& f) {
  f.count("bits", bits, {8, 4096}, "bits", "n, the length of the sequence; a multiple of 8 and of the word");
  f.count("word", word, {1, 16}, "bits", "k, the bits that one action appends");
  f.count("modes", modes, {1, 1e6}, "modes", "different concatenations of the motifs that are modes");
  f.real("sharpness", sharpness, {0, 1e6}, "nats", "b, the fall of log R from a mode to its complement");
  f.count("found_within", found_within, {0, 4096}, "bits", "a mode counts as found within this Hamming distance");
  f.count("seed", seed, {0, 1e18}, "", "chooses the modes");
}

namespace {

constexpr uint8_t kMotifs[] = {0b00000000, 0b11111111, 0b11110000, 0b00001111, 0b00111100};
using Bytes = std::vector<uint8_t>;

// Distinct motif sequences; all of them in order where the deck asks for as many as there are.
std::vector<Bytes> draw_modes(const BitsDeck& deck) {
  const auto motifs = static_cast<size_t>(deck.bits / 8);
  const double all = std::pow(5.0, static_cast<double>(motifs));
  VALIDATE(static_cast<double>(deck.modes) <= all, "bits.modes = " + std::to_string(deck.modes) + " is too many",
           "there are " + std::to_string(std::llround(all)) + " concatenations of five motifs", "ask for fewer");
  const bool every = static_cast<double>(deck.modes) == all;
  std::set<std::string> seen;
  std::vector<Bytes> modes;
  for (uint64_t draw = 0; static_cast<int64_t>(modes.size()) < deck.modes; ++draw) {
    Bytes mode(motifs);
    uint64_t rest = draw;
    for (size_t i = 0; i < motifs; ++i, rest /= 5) {
      const double u = uniform(static_cast<uint64_t>(deck.seed), Stream::data, draw, static_cast<uint32_t>(i));
      mode[i] = kMotifs[every ? rest % 5 : static_cast<size_t>(5 * u)];
    }
    if (seen.emplace(mode.begin(), mode.end()).second) modes.push_back(mode);
  }
  return modes;
}

// State: the words so far (-1 beyond), then their number.
class BitSequence final : public PerState<BitSequence> {
 public:
  explicit BitSequence(const BitsDeck& deck)
      : PerState({.state = deck.bits / deck.word + 1,
                  .actions = int64_t{1} << deck.word,
                  .backward_actions = 1,
                  .max_length = deck.bits / deck.word,
                  .features = 2 * deck.bits + deck.bits / deck.word + 1,
                  .active = deck.bits + 1}),
        deck_(deck),
        words_(static_cast<size_t>(deck.bits / deck.word)),
        modes_(draw_modes(deck)) {}

  void start(int64_t, State s) const {
    std::ranges::fill(s, -1);
    s[words_] = 0;
  }
  bool done(View s) const { return s[words_] == static_cast<int32_t>(words_); }
  void valid(View s, std::span<uint8_t> mask) const { std::ranges::fill(mask, !done(s)); }
  void valid_backward(View s, std::span<uint8_t> mask) const { mask[0] = s[words_] > 0; }
  void apply(State s, int32_t action) const { s[static_cast<size_t>(s[words_]++)] = action; }
  void undo(State s, int32_t) const { s[static_cast<size_t>(--s[words_])] = -1; }
  int32_t backward_id(View, int32_t) const { return 0; }
  int32_t forward_id(View child, int32_t) const { return child[static_cast<size_t>(child[words_] - 1)]; }

  // Each bit that is there as one of two features, and the number of words.
  void features(View s, std::span<int32_t> active) const {
    std::ranges::fill(active, -1);
    const auto k = static_cast<size_t>(deck_.word);
    for (size_t w = 0; w < static_cast<size_t>(s[words_]); ++w)
      for (size_t bit = 0; bit < k; ++bit) {
        const size_t position = w * k + bit;
        active[position] = static_cast<int32_t>(2 * position) + (s[w] >> (k - 1 - bit) & 1);
      }
    active[words_ * k] = static_cast<int32_t>(2 * deck_.bits) + s[words_];
  }

  double reward(View s) const {
    return -deck_.sharpness * static_cast<double>(nearest(s).distance) / static_cast<double>(deck_.bits);
  }

  int64_t enumerable_states() const override {
    double states = 1, level = 1;
    for (size_t w = 0; w < words_; ++w) states += level *= std::exp2(static_cast<double>(deck_.word));
    return states < 1e9 ? std::llround(states) : 0;
  }
  int64_t modes() const override { return deck_.modes; }
  int64_t mode_of(View s) const override {
    const Nearest near = nearest(s);
    return near.distance <= deck_.found_within ? near.mode : -1;
  }

 private:
  struct Nearest {
    int64_t mode, distance;
  };

  Nearest nearest(View s) const {
    Bytes bytes(static_cast<size_t>(deck_.bits / 8), 0);
    const auto k = static_cast<size_t>(deck_.word);
    for (size_t position = 0; position < static_cast<size_t>(deck_.bits); ++position)
      bytes[position / 8] |=
          static_cast<uint8_t>((s[position / k] >> (k - 1 - position % k) & 1) << (7 - position % 8));
    Nearest best{-1, deck_.bits + 1};
    for (size_t m = 0; m < modes_.size(); ++m) {
      int64_t distance = 0;
      for (size_t i = 0; i < bytes.size(); ++i)
        distance += std::popcount(static_cast<uint8_t>(bytes[i] ^ modes_[m][i]));
      if (distance < best.distance) best = {static_cast<int64_t>(m), distance};
    }
    return best;
  }

  BitsDeck deck_;
  size_t words_;
  std::vector<Bytes> modes_;
};

}  // namespace

std::unique_ptr<const Environment> make_bits(const BitsDeck& deck) {
  VALIDATE(deck.bits % 8 == 0 && deck.bits % deck.word == 0,
           "bits.bits = " + std::to_string(deck.bits) + " does not divide",
           "motifs have 8 bits and words " + std::to_string(deck.word), "make it a multiple of both");
  return std::make_unique<BitSequence>(deck);
}

}  // namespace tightrope
