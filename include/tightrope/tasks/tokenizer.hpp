#pragma once
// Tokenizer: texts to token ids and back, as the tokenizer.json of a Hugging Face model says.  Equal, id for id and
// byte for byte, to the Python package `tokenizers` (0.23), which is how it is tested.
//
// Byte pair encoding in both styles: byte-level (GPT-2, SmolLM2, Llama-3) and SentencePiece with byte fallback
// (Llama-2).  Normalisers Prepend, Replace; pre-tokenisers ByteLevel, Digits, Metaspace, Split; decoders ByteFallback,
// ByteLevel, Fuse, Metaspace, Replace, Strip; Sequences of these; added tokens with all their flags; template
// post-processors.  A file that needs more is refused by name; its truncation and padding are ignored.
//
// Patterns know Unicode 16 in \p{L}, \p{M}, \p{N}, \d, \s and classes without these, as tokenizers does; in others
// (\p{P}, \p{S}, \p{Lu}, ...) the Unicode of the PCRE2 that is linked.
// One difference: decode's skip_special also leaves out a special token that is `normalized`.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tightrope {

class Tokenizer {
 public:
  // A model's folder, or the file itself.  Failure where it is missing, malformed, or needs something unsupported.
  explicit Tokenizer(const std::filesystem::path& folder_or_file);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Special tokens in the text become their ids.  `add_special`: with the tokens that the model's template puts around
  // a text (BOS of Llama).  Ill-formed UTF-8 is read as U+FFFD.  O(n log n); not from two threads at once, because
  // words are cached.
  std::vector<int32_t> encode(std::string_view text, bool add_special = false) const;

  // Well-formed UTF-8: U+FFFD where the ids cut a character.  Ids that name no token are left out, as are special ones
  // where `skip_special`.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // In the vocabulary's alphabet ("Ġthe"), added tokens that are normalised in that form; empty where id names none.
  std::string token(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view token) const;
  bool is_special(int32_t id) const;
  int32_t size() const;  // one more than the largest id; the model's own vocabulary may be padded beyond it

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tightrope
