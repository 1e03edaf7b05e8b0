#pragma once
// Private to the tokenizer: added tokens (special ones and others), which are found in a text before all else.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer_json.hpp"
#include "tokenizer_regex.hpp"
#include "tokenizer_text.hpp"

namespace tightrope::tokenizing {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // no match beside a word character
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // ... and after it
  bool normalized = false;   // looked for, normalised, in the normalised text
  bool special = false;      // decode may leave it out
};

std::vector<AddedToken> read_added_tokens(const Place& added_tokens);

class AddedMatcher {
 public:
  // Looks for `content` of each.
  explicit AddedMatcher(std::vector<AddedToken> tokens);
  AddedMatcher(AddedMatcher&&) = default;  // no copy: by_byte_ points into tokens_

  struct Part {
    Range range;
    const AddedToken* token = nullptr;  // none: other text, never empty
  };
  // The whole text in order: the leftmost match first, of those the longest.
  std::vector<Part> parts(std::string_view text) const;

 private:
  const AddedToken* match_at(std::string_view text, size_t at) const;
  bool beside_word(std::string_view text, Range range) const;

  std::vector<AddedToken> tokens_;                           // longest first
  std::array<std::vector<const AddedToken*>, 256> by_byte_;  // [first byte of the content]
  std::optional<Regex> word_;                                // one word character; where a token is a single word
};

}  // namespace tightrope::tokenizing
