#pragma once
// Private to the tokenizer: characters, bytes, and the alphabet of byte-level vocabularies.
#include <cstddef>
#include <string>
#include <string_view>

namespace tightrope::tokenizing {

struct Range {  // bytes [begin, end) of a text
  size_t begin = 0, end = 0;
};

struct Character {
  char32_t code = 0;
  size_t bytes = 0;  // 1 to 4
};

// The character at text[at]; the text is well-formed UTF-8.
Character character_at(std::string_view text, size_t at);
void append_utf8(char32_t code, std::string& text);
bool is_space(char32_t code);  // Unicode's White_Space

// Whether all of it is well-formed UTF-8.
bool is_utf8(std::string_view bytes);
// U+FFFD for every maximal ill-formed part (Unicode 3.9, table 3-8), as Rust's from_utf8_lossy.
std::string lossy_utf8(std::string_view bytes);

// Every `from`, which is not empty, becomes `to`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

// GPT-2's alphabet: a printable letter for each of the 256 bytes.  `append_bytes` is the inverse; a text that holds
// any other character is appended as it is.
void append_letters(std::string_view bytes, std::string& letters);
void append_bytes(std::string_view letters, std::string& bytes);

}  // namespace tightrope::tokenizing
