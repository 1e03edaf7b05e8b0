#pragma once
// Private to the tokenizer: what is done to texts on the way in (normalisers) and to tokens on the way out (decoders).
#include <functional>
#include <string>
#include <vector>

#include "tokenizer_json.hpp"

namespace tightrope::tokenizing {

// Types: Prepend, Replace of a String, and a Sequence of them.
std::vector<std::function<void(std::string&)>> read_normalizer(const Place& normalizer);

// Types: ByteFallback, ByteLevel, Fuse, Metaspace, Replace of a String, Strip, and a Sequence of them.  The text is the
// tokens after all steps, one after the other; with spaces between them where there is no decoder.
struct Decoder {
  std::vector<std::function<void(std::vector<std::string>&)>> steps;
  bool spaces = false;
};
Decoder read_decoder(const Place& decoder);

}  // namespace tightrope::tokenizing
