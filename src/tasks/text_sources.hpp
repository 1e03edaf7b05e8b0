#pragma once
// The parts of text data.  Both sources give a TextData whose prompts are still the bare questions.
#include "tightrope/tasks/text_data.hpp"

namespace tightrope {

TextData generate_questions(const TextDataDeck& deck);  // data.generator
TextData read_questions(const TextDataDeck& deck);      // data.train, data.heldout

}  // namespace tightrope
