#pragma once
// Private to the tokenizer: regular expressions as Hugging Face's tokenizers reads them (Oniguruma, Ruby's syntax,
// Unicode 16), matched by PCRE2.
#include <memory>
#include <string>
#include <string_view>

#include "tokenizer_text.hpp"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;

namespace tightrope::tokenizing {

class Regex {
 public:
  // Failure, which begins with `where`, for a pattern that is wrong, that may match nothing at all, or that the two
  // engines read differently (\w, \h, a class in a class, ...).
  Regex(const std::string& pattern, const std::string& where);

  // The first match at or after subject[from].  Uses scratch memory of this object: one thread at a time.
  bool find(std::string_view subject, size_t from, Range& match) const;

 private:
  std::shared_ptr<pcre2_real_code_8> code_;
  std::shared_ptr<pcre2_real_match_data_8> data_;
};

// The text with stand-ins of the same length and class (letter, mark, number, none) for characters that PCRE2's tables
// may lack or class differently.  Every subject of Regex::find passes through it.
std::string with_stand_ins(std::string_view text);

}  // namespace tightrope::tokenizing
