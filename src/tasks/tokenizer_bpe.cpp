#include "tokenizer_bpe.hpp"

#include <algorithm>
#include <queue>

#include "tightrope/base/check.hpp"
#include "tokenizer_text.hpp"

namespace tightrope::tokenizing {

namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

std::string byte_token(int byte) {
  const char* const digits = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte / 16], digits[byte % 16], '>'};
}

void require_none(const Place& affix) {
  if (!affix.is_null() && !affix.text().empty()) affix.refuse(affix.text(), "none");
}

// "a b", as older files have it, or ["a", "b"].
std::pair<std::string, std::string> parts_of(const Place& merge) {
  if (merge.value().is_string()) {
    const std::string& text = merge.text();
    const size_t space = text.find(' ');
    VALIDATE(space != std::string::npos && text.find(' ', space + 1) == std::string::npos,
             merge.where() + " is '" + text + "'", "a merge has two parts with one space between them", "correct it");
    return {text.substr(0, space), text.substr(space + 1)};
  }
  const auto parts = merge.items();
  VALIDATE(parts.size() == 2, merge.where() + " has " + std::to_string(parts.size()) + " parts",
           "a merge has two parts", "correct it");
  return {parts[0].text(), parts[1].text()};
}

}  // namespace

Bpe::Bpe(const Place& model) {
  const Place type = model["type"];  // files of 2019 have none
  if (!type.is_null() && type.text() != "BPE") type.refuse(type.text(), "BPE");
  const auto& dropout = model["dropout"].value();
  VALIDATE(dropout.is_null() || dropout == 0, model.where() + ".dropout is " + shown(dropout),
           "the encoding would be random", "set it to null");
  require_none(model["continuing_subword_prefix"]);
  require_none(model["end_of_word_suffix"]);
  read_vocabulary(model["vocab"]);
  read_merges(model["merges"]);
  if (!model["unk_token"].is_null()) unknown_ = known(model["unk_token"].text(), model["unk_token"].where());
  fuse_unknown_ = model["fuse_unk"].flag(false);
  ignore_merges_ = model["ignore_merges"].flag(false);
  if (!model["byte_fallback"].flag(false)) return;
  byte_tokens_.resize(256);
  for (int b = 0; b < 256; ++b)
    if (const auto found = vocabulary_.find(byte_token(b)); found != vocabulary_.end()) byte_tokens_[b] = found->second;
}

void Bpe::read_vocabulary(const Place& vocabulary) {
  vocabulary_.reserve(vocabulary.object().size());
  for (const auto& [token, id] : vocabulary.object().items()) {
    const bool whole = id.is_number_integer() && id >= 0 && id <= largest_id;
    VALIDATE(whole, vocabulary.where() + " gives '" + token + "' the id " + shown(id),
             "it must be a whole number in 0 .. " + std::to_string(largest_id), "correct it");
    vocabulary_.emplace(token, id.get<int32_t>());
  }
}

void Bpe::read_merges(const Place& merges) {
  const auto items = merges.items();
  merges_.reserve(items.size());
  int32_t rank = 0;
  for (const Place& item : items) {
    if (item.value().is_string() && item.text().starts_with("#version")) continue;
    const auto [left, right] = parts_of(item);
    const int32_t left_id = known(left, item.where()), right_id = known(right, item.where());
    merges_.insert_or_assign(pair_key(left_id, right_id), Merge{rank++, known(left + right, item.where())});
  }
}

int32_t Bpe::known(const std::string& token, const std::string& where) const {
  const auto found = vocabulary_.find(token);
  VALIDATE(found != vocabulary_.end(), where + " names the token '" + token + "'", "the vocabulary has no such token",
           "fetch the file again");
  return found->second;
}

const Bpe::Merge* Bpe::merge_of(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// All bytes or none.
bool Bpe::append_bytes(std::string_view character, std::vector<int32_t>& ids) const {
  const auto token = [&](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  if (byte_tokens_.empty() || !std::ranges::all_of(character, [&](char b) { return token(b).has_value(); }))
    return false;
  for (const char byte : character) ids.push_back(*token(byte));
  return true;
}

// The symbols before any merge.  An unknown token waits until a known character comes, even where bytes come between
// them: as tokenizers does it.
std::vector<int32_t> Bpe::characters(std::string_view piece) const {
  std::vector<int32_t> symbols;
  symbols.reserve(piece.size());
  bool waiting = false;
  for (size_t at = 0, bytes; at < piece.size(); at += bytes) {
    bytes = character_at(piece, at).bytes;
    const std::string_view character = piece.substr(at, bytes);
    if (const auto found = vocabulary_.find(character); found != vocabulary_.end()) {
      if (waiting) symbols.push_back(*unknown_);
      waiting = false;
      symbols.push_back(found->second);
    } else if (!append_bytes(character, symbols) && unknown_) {
      if (waiting && !fuse_unknown_) symbols.push_back(*unknown_);
      waiting = true;
    }
  }
  if (waiting) symbols.push_back(*unknown_);
  return symbols;
}

// The pair of the lowest rank first, the leftmost of equals: a queue of candidates over a linked list of symbols.
void Bpe::merge_all(std::vector<int32_t>& symbols) const {
  struct Candidate {
    int32_t rank, at, id;
    bool operator<(const Candidate& other) const {  // a priority queue gives the largest
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto n = static_cast<int32_t>(symbols.size());
  constexpr int32_t gone = -1;  // no token has this id
  std::vector<int32_t> previous(symbols.size()), next(symbols.size());
  std::vector<Candidate> first;
  first.reserve(symbols.size());
  for (int32_t i = 0; i < n; ++i) {
    previous[i] = i - 1;
    next[i] = i + 1;
    if (i + 1 == n) break;
    if (const Merge* merge = merge_of(symbols[i], symbols[i + 1])) first.push_back({merge->rank, i, merge->id});
  }
  std::priority_queue<Candidate> queue({}, std::move(first));
  const auto consider = [&](int32_t at) {
    if (at < 0 || next[at] >= n) return;
    if (const Merge* merge = merge_of(symbols[at], symbols[next[at]])) queue.push({merge->rank, at, merge->id});
  };
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const int32_t right = next[best.at];
    if (symbols[best.at] == gone || right >= n) continue;
    const Merge* merge = merge_of(symbols[best.at], symbols[right]);
    if (!merge || merge->id != best.id) continue;  // one of the two has been merged since
    symbols[best.at] = best.id;
    symbols[right] = gone;
    next[best.at] = next[right];
    if (next[right] < n) previous[next[right]] = best.at;
    consider(previous[best.at]);
    consider(best.at);
  }
  std::erase(symbols, gone);
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto found = vocabulary_.find(piece); found != vocabulary_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  auto symbols = characters(piece);
  merge_all(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace tightrope::tokenizing
