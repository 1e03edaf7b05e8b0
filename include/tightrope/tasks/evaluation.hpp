#pragma once
// When and how much every task is evaluated.
#include "tightrope/core/deck.hpp"

namespace tightrope {

struct EvaluationDeck {
  static constexpr const char* section = "evaluation";
  int64_t every = 0;                 // updates between evaluations; 0 = only at the end
  int64_t samples = 1024;            // where the task cannot be enumerated
  int64_t enumerate_up_to = 400000;  // states
  int64_t slices = 1;                // per searcher, one between two batches
  void fields(FieldList& f);
};

}  // namespace tightrope
