#include "tokenizer_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace tightrope::tokenizing {

namespace {

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

struct Part {
  size_t bytes = 0;
  bool well_formed = false;
};

// The character, or the maximal ill-formed part, that begins at text[at].
Part part_at(std::string_view text, size_t at) {
  const uint8_t lead = byte_at(text, at);
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xbf;  // of the second byte: no overlong form, no surrogate, nothing above U+10FFFF
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (size_t i = 1; i < bytes; ++i, low = 0x80, high = 0xbf)
    if (at + i >= text.size() || byte_at(text, at + i) < low || byte_at(text, at + i) > high) return {i, false};
  return {bytes, true};
}

// The letter of each byte: itself where it is printable Latin-1, else the next from U+0100 on.
constexpr auto letters_of_bytes = [] {
  std::array<char32_t, 256> letters{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    letters[b] = printable ? b : next++;
  }
  return letters;
}();

constexpr auto bytes_of_letters = [] {
  std::array<int16_t, 256 + 68> bytes{};  // 68 bytes are not printable
  bytes.fill(-1);
  for (int16_t b = 0; b < 256; ++b) bytes[letters_of_bytes[b]] = b;
  return bytes;
}();

}  // namespace

Character character_at(std::string_view text, size_t at) {
  const auto lead = byte_at(text, at);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  char32_t code = lead & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3f);
  return {code, bytes};
}

void append_utf8(char32_t code, std::string& text) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

bool is_space(char32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Part part = part_at(bytes, at);
    if (!part.well_formed) return false;
    at += part.bytes;
  }
  return true;
}

std::string lossy_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Part part = part_at(bytes, at);
    if (part.well_formed)
      text.append(bytes, at, part.bytes);
    else
      append_utf8(0xfffd, text);
    at += part.bytes;
  }
  return text;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string_view::npos; done = at + from.size())
    result.append(text, done, at - done).append(to);
  return result.append(text, done);
}

void append_letters(std::string_view bytes, std::string& letters) {
  for (const char b : bytes) append_utf8(letters_of_bytes[static_cast<uint8_t>(b)], letters);
}

void append_bytes(std::string_view letters, std::string& bytes) {
  const size_t before = bytes.size();
  for (size_t at = 0; at < letters.size();) {
    const Character letter = character_at(letters, at);
    if (letter.code >= bytes_of_letters.size() || bytes_of_letters[letter.code] < 0) {
      bytes.resize(before);
      bytes.append(letters);
      return;
    }
    bytes += static_cast<char>(bytes_of_letters[letter.code]);
    at += letter.bytes;
  }
}

}  // namespace tightrope::tokenizing
