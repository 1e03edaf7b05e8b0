#pragma once
// A schema of two sections that holds every kind of field, and ways to read a deck by it.
#include <string>
#include <vector>

#include "tightrope/core/deck.hpp"

namespace tightrope::deck_fixture {

using Lines = std::vector<std::string>;

struct TrainerDeck {
  static constexpr const char* section = "trainer";
  double learning_rate = 1e-3;
  int64_t batch = 16;
  double interval = 30;
  std::string mode = "async";
  void fields(FieldList& f) {
    f.real("learning_rate", learning_rate, {0, 10}, "per step", "Adam's step size for the network");
    f.count("batch", batch, {1, 1e9}, "trajectories", "trajectories per update, over all trainers");
    f.seconds("interval", interval, {0.01, 1e6}, "between two progress lines");
    f.choice("mode", mode, {"async", "lockstep"}, "what the ranks wait for");
  }
};

struct ReplayDeck {
  static constexpr const char* section = "replay";
  int64_t bytes = 64 << 20;
  int64_t seed = 0;
  double weight = 0.5;
  bool keep = true;
  std::string folder;
  void fields(FieldList& f) {
    f.bytes("bytes", bytes, {4096, 0x1p40}, "the total over the stores");
    f.count("seed", seed, {}, "", "any whole number");
    f.real("weight", weight, {}, "", "any number");
    f.flag("keep", keep, "keep records | drop them");
    f.text("folder", folder, "where to write");
  }
};

inline Schema schema() {
  Schema s;
  s.add<TrainerDeck>("how the policy is updated").add<ReplayDeck>("what is remembered");
  return s;
}

inline Deck deck(const std::string& text, const Lines& overrides = {}) {
  return Deck(schema(), text, "deck.ini", overrides);
}

inline Lines problems(const std::string& text, const Lines& overrides = {}) {
  try {
    deck(text, overrides);
  } catch (const DeckError& error) {
    return error.problems();
  }
  return {};
}

inline TrainerDeck trainer(const std::string& line) { return deck("[trainer]\n" + line).get<TrainerDeck>(); }
inline ReplayDeck replay(const std::string& line) { return deck("[replay]\n" + line).get<ReplayDeck>(); }

}  // namespace tightrope::deck_fixture
