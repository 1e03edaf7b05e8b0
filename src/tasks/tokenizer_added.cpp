#include "tokenizer_added.hpp"

#include <algorithm>

#include "tightrope/base/check.hpp"
#include "tokenizer_bpe.hpp"

namespace tightrope::tokenizing {

namespace {

// The start of the last character of text[0, end).
size_t last_character(std::string_view text, size_t end) {
  do --end;
  while ((static_cast<uint8_t>(text[end]) & 0xc0) == 0x80);
  return end;
}

size_t space_before(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t last = last_character(text, end);
    if (!is_space(character_at(text, last).code)) break;
    end = last;
  }
  return end;
}

size_t space_after(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Character c = character_at(text, at);
    if (!is_space(c.code)) break;
    at += c.bytes;
  }
  return at;
}

// Unicode's \w (UTS 18, Annex C); the ranges are the letters among the symbols.
const char* const word_character = R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d})"
                                   R"(\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}])";

}  // namespace

std::vector<AddedToken> read_added_tokens(const Place& added_tokens) {
  std::vector<AddedToken> tokens;
  for (const Place& json : added_tokens.items()) {
    AddedToken token{.content = json["content"].text(),
                     .id = static_cast<int32_t>(json["id"].count(largest_id)),
                     .single_word = json["single_word"].flag(false),
                     .lstrip = json["lstrip"].flag(false),
                     .rstrip = json["rstrip"].flag(false),
                     .normalized = json["normalized"].flag(true),
                     .special = json["special"].flag(false)};
    VALIDATE(!token.content.empty(), json.where() + ".content is empty", "it would be found everywhere", "remove it");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

AddedMatcher::AddedMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  if (std::ranges::any_of(tokens_, &AddedToken::single_word)) word_.emplace(word_character, "\\w");
  std::ranges::stable_sort(tokens_, std::greater<>(), [](const AddedToken& t) { return t.content.size(); });
  for (const AddedToken& token : tokens_)
    if (!token.content.empty()) by_byte_[static_cast<uint8_t>(token.content[0])].push_back(&token);
}

const AddedToken* AddedMatcher::match_at(std::string_view text, size_t at) const {
  for (const AddedToken* token : by_byte_[static_cast<uint8_t>(text[at])])
    if (text.substr(at).starts_with(token->content)) return token;
  return nullptr;
}

bool AddedMatcher::beside_word(std::string_view text, Range range) const {
  const auto is_word = [&](size_t at) {
    const std::string character = with_stand_ins(text.substr(at, character_at(text, at).bytes));
    Range match;
    return word_->find(character, 0, match);
  };
  return (range.begin > 0 && is_word(last_character(text, range.begin))) ||
         (range.end < text.size() && is_word(range.end));
}

// The search goes on behind the content, not behind the white space that a token takes along, and so two such tokens
// may both take the white space between them: as tokenizers does it.
std::vector<AddedMatcher::Part> AddedMatcher::parts(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* const token = match_at(text, at);
    if (!token) {
      ++at;
      continue;
    }
    Range range{at, at + token->content.size()};
    at = range.end;
    if (token->single_word && beside_word(text, range)) continue;
    if (token->lstrip) range.begin = std::max(space_before(text, range.begin), done);
    if (token->rstrip) range.end = space_after(text, range.end);
    if (done < range.begin) parts.push_back({{done, range.begin}, nullptr});
    parts.push_back({range, token});
    done = range.end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, nullptr});
  return parts;
}

}  // namespace tightrope::tokenizing
