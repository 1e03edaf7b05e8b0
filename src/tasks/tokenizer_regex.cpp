#include "tokenizer_regex.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tightrope/base/check.hpp"

namespace tightrope::tokenizing {

namespace {

// What Oniguruma and PCRE2 read differently, where the pattern has it; else empty.
std::string ambiguity(std::string_view pattern) {
  const std::string_view alike = "sSdDpPnrtfxAzZ";  // letters after a backslash with one meaning
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (std::isalnum(static_cast<unsigned char>(escaped)) && alike.find(escaped) == std::string_view::npos)
        return std::string("\\") + escaped;
    } else if (in_class) {
      if (c == '[') return "[ in a class";
      if (c == '&' && pattern.substr(i).starts_with("&&")) return "&& in a class";
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      if (pattern.substr(i + 1).starts_with('^')) ++i;
      if (pattern.substr(i + 1).starts_with(']')) return "] at the start of a class";
    } else if (pattern.substr(i).starts_with("(?") && i + 2 < pattern.size()) {
      const std::string_view option = pattern.substr(i + 2, 2);
      if (std::isalpha(static_cast<unsigned char>(option[0])) && !option.starts_with('i'))
        return "(?" + std::string(option);
    } else if (pattern.substr(i).starts_with("(*")) {
      return "(*";
    }
  }
  return {};
}

std::string message_of(int error) {
  unsigned char text[256] = {};
  pcre2_get_error_message_8(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

struct StandIn {
  char32_t first, last;  // in ascending order
  char32_t stand_in;
};
constexpr char32_t format3 = 0x200b, mark3 = 0x0900, letter3 = 0x3042;                       // 3 bytes of UTF-8
constexpr char32_t mark4 = 0x10a01, letter4 = 0x10000, digit4 = 0x104a0, number4 = 0x10107;  // 4 bytes
// PCRE2 counts U+180E as a space.  The others are letters, marks and numbers of Unicode 15 and 16 (numbers: 17); a
// PCRE2 that knows them classes their stand-ins alike.
constexpr StandIn stand_ins[] = {
    {0x897, 0x897, mark3},       {0xcf3, 0xcf3, mark3},       {0xece, 0xece, mark3},       {0x180e, 0x180e, format3},
    {0x1c89, 0x1c8a, letter3},   {0xa7cb, 0xa7cd, letter3},   {0xa7da, 0xa7dc, letter3},   {0x105c0, 0x105f3, letter4},
    {0x10d40, 0x10d49, digit4},  {0x10d4a, 0x10d65, letter4}, {0x10d69, 0x10d6d, mark4},   {0x10d6f, 0x10d85, letter4},
    {0x10ec2, 0x10ec4, letter4}, {0x10efc, 0x10eff, mark4},   {0x1123f, 0x11240, letter4}, {0x11241, 0x11241, mark4},
    {0x11380, 0x11389, letter4}, {0x1138b, 0x1138b, letter4}, {0x1138e, 0x1138e, letter4}, {0x11390, 0x113b5, letter4},
    {0x113b7, 0x113b7, letter4}, {0x113b8, 0x113c0, mark4},   {0x113c2, 0x113c2, mark4},   {0x113c5, 0x113c5, mark4},
    {0x113c7, 0x113ca, mark4},   {0x113cc, 0x113d0, mark4},   {0x113d1, 0x113d1, letter4}, {0x113d2, 0x113d2, mark4},
    {0x113d3, 0x113d3, letter4}, {0x113e1, 0x113e2, mark4},   {0x116d0, 0x116e3, digit4},  {0x11bc0, 0x11be0, letter4},
    {0x11bf0, 0x11bf9, digit4},  {0x11de0, 0x11de9, number4}, {0x11f00, 0x11f01, mark4},   {0x11f02, 0x11f02, letter4},
    {0x11f03, 0x11f03, mark4},   {0x11f04, 0x11f10, letter4}, {0x11f12, 0x11f33, letter4}, {0x11f34, 0x11f3a, mark4},
    {0x11f3e, 0x11f42, mark4},   {0x11f50, 0x11f59, digit4},  {0x11f5a, 0x11f5a, mark4},   {0x1342f, 0x1342f, letter4},
    {0x13440, 0x13440, mark4},   {0x13441, 0x13446, letter4}, {0x13447, 0x13455, mark4},   {0x13460, 0x143fa, letter4},
    {0x16100, 0x1611d, letter4}, {0x1611e, 0x1612f, mark4},   {0x16130, 0x16139, digit4},  {0x16d40, 0x16d6c, letter4},
    {0x16d70, 0x16d79, digit4},  {0x16ff4, 0x16ff6, number4}, {0x18cff, 0x18cff, letter4}, {0x1b132, 0x1b132, letter4},
    {0x1b155, 0x1b155, letter4}, {0x1ccf0, 0x1ccf9, digit4},  {0x1d2c0, 0x1d2d3, number4}, {0x1df25, 0x1df2a, letter4},
    {0x1e030, 0x1e06d, letter4}, {0x1e08f, 0x1e08f, mark4},   {0x1e4d0, 0x1e4eb, letter4}, {0x1e4ec, 0x1e4ef, mark4},
    {0x1e4f0, 0x1e4f9, digit4},  {0x1e5d0, 0x1e5ed, letter4}, {0x1e5ee, 0x1e5ef, mark4},   {0x1e5f0, 0x1e5f0, letter4},
    {0x1e5f1, 0x1e5fa, digit4},  {0x2b739, 0x2b739, letter4}, {0x2ebf0, 0x2ee5d, letter4}, {0x31350, 0x323af, letter4}};

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) {
  const std::string odd = ambiguity(pattern);
  VALIDATE(odd.empty(), where + ": the pattern has " + odd, "PCRE2 and the Oniguruma of tokenizers read it differently",
           "use a model whose tokenizer needs no such pattern");
  const std::shared_ptr<pcre2_compile_context_8> compile(pcre2_compile_context_create_8(nullptr),
                                                         pcre2_compile_context_free_8);
  pcre2_set_newline_8(compile.get(), PCRE2_NEWLINE_LF);  // for ^ $ and the dot, as in Ruby
  int error = 0;
  size_t at = 0;
  code_.reset(
      pcre2_compile_8(reinterpret_cast<const unsigned char*>(pattern.data()), pattern.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at, compile.get()),
      pcre2_code_free_8);
  VALIDATE(code_, where + ": the pattern is wrong at its byte " + std::to_string(at), message_of(error), "correct it");
  uint32_t may_be_empty = 0;
  pcre2_pattern_info_8(code_.get(), PCRE2_INFO_MATCHEMPTY, &may_be_empty);
  VALIDATE(!may_be_empty, where + ": the pattern may match an empty text", "it would cut between all characters",
           "use a model whose tokenizer needs no such pattern");
  pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);  // without it, where the machine has none, it is only slower
  data_.reset(pcre2_match_data_create_8(1, nullptr), pcre2_match_data_free_8);
}

bool Regex::find(std::string_view subject, size_t from, Range& match) const {
  const auto match_with = [&](uint32_t options) {
    return pcre2_match_8(code_.get(), reinterpret_cast<const unsigned char*>(subject.data()), subject.size(), from,
                         PCRE2_NO_UTF_CHECK | options, data_.get(), nullptr);
  };
  int found = match_with(0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match_with(PCRE2_NO_JIT);  // which backtracks on the heap
  if (found == PCRE2_ERROR_NOMATCH) return false;
  VALIDATE(found >= 0, "a pattern of the tokenizer could not be matched", message_of(found), "shorten the text");
  const size_t* const ends = pcre2_get_ovector_pointer_8(data_.get());
  match = {ends[0], ends[1]};
  return true;
}

std::string with_stand_ins(std::string_view text) {
  std::string result;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const auto [code, bytes] = character_at(text, at);
    if (code >= stand_ins[0].first) {
      const auto* row = std::upper_bound(std::begin(stand_ins), std::end(stand_ins), code,
                                         [](char32_t c, const StandIn& s) { return c < s.first; }) -
                        1;
      if (code <= row->last) {
        result.append(text, done, at - done);
        append_utf8(row->stand_in, result);
        done = at + bytes;
      }
    }
    at += bytes;
  }
  return result.append(text, done);
}

}  // namespace tightrope::tokenizing
