#pragma once
// The environments' own sections and makers; each has its source file.
#include <memory>

#include "tightrope/core/deck.hpp"
#include "tightrope/core/environment.hpp"

namespace tightrope {

// Bengio et al. 2021 (arXiv 2106.04399), sec. 4.1, with the reward of Malkin et al. 2022 (arXiv 2201.13259), sec. 5.1.
struct HypergridDeck {
  static constexpr const char* section = "hypergrid";
  int64_t dimensions = 2, side = 8;
  double r0 = 0.1, r1 = 0.5, r2 = 2;
  void fields(FieldList& f);
};
std::unique_ptr<const Environment> make_hypergrid(const HypergridDeck& deck);

// Malkin et al. 2022 (arXiv 2201.13259), sec. 5.3.1, left to right, with a Hamming reward.
struct BitsDeck {
  static constexpr const char* section = "bits";
  int64_t bits = 120, word = 8, modes = 60;
  double sharpness = 3;
  int64_t found_within = 28;
  int64_t seed = 0;
  void fields(FieldList& f);
};
std::unique_ptr<const Environment> make_bits(const BitsDeck& deck);

}  // namespace tightrope
