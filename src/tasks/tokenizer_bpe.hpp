#pragma once
// Private to the tokenizer: the vocabulary and the merges of byte pair encoding (Sennrich et al. 2016).
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer_json.hpp"

namespace tightrope::tokenizing {

constexpr int64_t largest_id = (1 << 20) - 1;  // nothing real is near it; a garbled file must not take all memory

struct TextHash {  // lets a map of strings be asked by a view
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

class Bpe {
 public:
  // From "model".  Failure for another type, for dropout, for prefixes or suffixes of subwords, for merges of tokens
  // that the vocabulary lacks.
  explicit Bpe(const Place& model);

  const TextMap<int32_t>& vocabulary() const { return vocabulary_; }

  // Appends the ids of one piece in the vocabulary's own alphabet.  O(n log n).
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    int32_t rank = 0, id = 0;
  };

  void read_vocabulary(const Place& vocabulary);
  void read_merges(const Place& merges);
  int32_t known(const std::string& token, const std::string& where) const;
  const Merge* merge_of(int32_t left, int32_t right) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& ids) const;
  std::vector<int32_t> characters(std::string_view piece) const;
  void merge_all(std::vector<int32_t>& symbols) const;

  TextMap<int32_t> vocabulary_;
  std::unordered_map<uint64_t, Merge> merges_;       // (left id << 32 | right id) -> what it becomes, and when
  std::optional<int32_t> unknown_;                   // stands for a character that is not in the vocabulary ...
  bool fuse_unknown_ = false;                        // ... and for each run of them
  bool ignore_merges_ = false;                       // a piece that is a token is that token, merges or not
  std::vector<std::optional<int32_t>> byte_tokens_;  // [256] <0x00> ..., empty without byte fallback
};

}  // namespace tightrope::tokenizing
