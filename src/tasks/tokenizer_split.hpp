#pragma once
// Private to the tokenizer: pre-tokenisation, which cuts a text into the pieces that BPE merges one by one.
// Types: ByteLevel (last), Digits, Metaspace, Split, and a Sequence of them.
#include <functional>
#include <string>
#include <vector>

#include "tokenizer_json.hpp"
#include "tokenizer_text.hpp"

namespace tightrope::tokenizing {

struct Pieces {
  std::string text;           // steps may change it
  std::vector<Range> ranges;  // the pieces; ascending, disjoint, not empty
  bool at_start = false;      // text[0] is the start of the whole input
};

struct Splitter {
  std::vector<std::function<void(Pieces&)>> steps;
  bool byte_level = false;  // BPE sees every byte of a piece as its letter
};

Splitter read_splitter(const Place& pre_tokenizer);

}  // namespace tightrope::tokenizing
