#pragma once
// Text data: the questions that a language model is trained and judged on, from JSON Lines or from a generator.
//
//   file        one JSON object per line; data.prompt_field and data.answer_field name its two texts (a number counts
//               as the text that JSON writes for it); blank lines are skipped
//   generator   sort            "sort 73 32 60"         -> "32 60 73"    `count` different numbers of least .. most
//               max             "max of 32 71 25 8"     -> "71"          the same
//               addition        "7 + 8"                 -> "15"          two numbers of least .. most
//               multiplication  "3 * 4"                 -> "12"
//
// What the model sees is chat(template(few_shot(question))):
//   few_shot    with shots > 0: "Q: ..\nA: ..\n" per example, then "Q: question\nA:"; else the question
//   template    data.template with {prompt} replaced
//   chat        chatml: the system turn, the text as the user's turn, and the opening of the assistant's turn
//
// Everything is a function of the deck and the files alone, so each rank loads the same questions by itself.
// No question text is in two of: training, held out, examples.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tightrope/core/deck.hpp"

namespace tightrope {

struct TextDataDeck {
  static constexpr const char* section = "data";
  std::string generator = "none", train, heldout, prompt_field = "prompt", answer_field = "answer";
  std::string prompt_template = "{prompt}", chat = "none", system;
  int64_t seed = 1, count = 3, least = 1, most = 99;
  int64_t questions = 2000, heldout_questions = 64;
  int64_t shots = 0, shots_seed = 99;
  int64_t max_prompt_tokens = 0;
  void fields(FieldList& f);
};

struct Question {
  std::string prompt;  // all that the model sees
  std::string answer;  // as the file or the generator has it
  std::string source;  // "train.jsonl:17", or the question of a generator: "sort 73 32 60"
};

struct TextData {
  std::vector<Question> train, heldout;  // in the order of the file or of the draws
  std::vector<Question> shots;           // the examples; their prompts are the bare questions
  int64_t repeated = 0;                  // dropped: the same question text occurs earlier in its file
  int64_t also_heldout = 0;              // dropped from training: occurs in the held-out file
  int64_t too_long = 0;                  // dropped from both: more than max_prompt_tokens
  std::string summary() const;           // one line: what is there, what was dropped and why
};

// `tokens` counts the tokens of a prompt; it is called only where max_prompt_tokens > 0.
// Throws Failure, with FILE:LINE where there is one: contradictory keys, an unreadable or empty file, a line that is
// not a JSON object or lacks a field, fewer distinct questions than asked for, none left after the filters.
TextData load_text_data(const TextDataDeck& deck, const std::function<int64_t(const std::string&)>& tokens);

}  // namespace tightrope
