// Against Hugging Face's tokenizers (fixtures by tests/fixtures/make_tokenizers.py), and what a wrong file says.
#include "tightrope/tasks/tokenizer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

const std::filesystem::path fixtures = TIGHTROPE_SOURCE "/tests/fixtures/tokenizers";

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

json fixture(const std::string& name) { return json::parse(text_of(fixtures / (name + ".json"))); }

class TokenizerTest : public testing::Test {
 protected:
  TokenizerTest() { std::filesystem::create_directories(folder_); }
  ~TokenizerTest() override { std::filesystem::remove_all(folder_); }

  Tokenizer tokenizer(const std::string& file_text) const {
    std::filesystem::remove(folder_ / "tokenizer.json");  // ext4 flushes a file that is written over
    std::ofstream(folder_ / "tokenizer.json", std::ios::binary) << file_text;
    return Tokenizer(folder_);
  }
  // What the tokenizer `base`, with a merge patch, says when it is made; the file's path left out.
  std::string problem(const std::string& base, const json& patch) const {
    json changed = fixture(base);
    changed.merge_patch(patch);
    return problem_of(changed.dump());
  }
  std::string problem_of(const std::string& file_text) const {
    try {
      tokenizer(file_text);
    } catch (const Failure& failure) {
      const std::string text = failure.what(), file = (folder_ / "tokenizer.json").string();
      const size_t at = text.find(file);
      return at == std::string::npos ? text : text.substr(0, at) + "FILE" + text.substr(at + file.size());
    }
    return "none";
  }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("tokenizer-" + std::to_string(std::random_device()()));
};

// Cases are [text or ids, ids, ids with the template's tokens, text without special tokens, text with them].
void expect_cases(const Tokenizer& tokenizer, const json& cases, const std::string& name) {
  ASSERT_GT(cases.size(), 0u);
  for (const json& row : cases) {
    if (row[0].is_string()) {
      EXPECT_EQ(tokenizer.encode(row[0].get<std::string>()), row[1].get<Ids>()) << name << ": " << row[0];
      EXPECT_EQ(tokenizer.encode(row[0].get<std::string>(), true), row[2].get<Ids>()) << name << ": " << row[0];
    }
    EXPECT_EQ(tokenizer.decode(row[2].get<Ids>()), row[3].get<std::string>()) << name << ": " << row[0];
    EXPECT_EQ(tokenizer.decode(row[2].get<Ids>(), false), row[4].get<std::string>()) << name << ": " << row[0];
  }
}

TEST_F(TokenizerTest, EqualsTheLibraryInEveryStyle) {
  for (const char* const name : {"digits", "llama3", "llama2", "metaspace"}) {
    const json cases = fixture(std::string(name) + ".cases");
    EXPECT_GE(cases.size(), 200u);
    expect_cases(Tokenizer(fixtures / (std::string(name) + ".json")), cases, name);
  }
}

TEST_F(TokenizerTest, EqualsTheLibraryInEveryVariant) {
  const json variants = fixture("variants");
  EXPECT_GE(variants.size(), 50u);
  for (const json& variant : variants) {
    json changed = fixture(variant["base"]);
    changed.merge_patch(variant["patch"]);
    expect_cases(tokenizer(changed.dump()), variant["cases"], variant["name"]);
  }
}

TEST_F(TokenizerTest, TokensHaveNamesAndIds) {
  const Tokenizer t(fixtures / "digits.json");
  EXPECT_EQ(t.size(), 512);
  EXPECT_EQ(t.token(2), "<|im_end|>");
  EXPECT_EQ(t.id_of("<|im_end|>"), 2);
  EXPECT_EQ(t.id_of("no such token"), std::nullopt);
  EXPECT_TRUE(t.is_special(2));
  for (const int32_t id : {-1, 512, 1 << 30}) {
    EXPECT_EQ(t.token(id), "");
    EXPECT_FALSE(t.is_special(id));
  }
  for (int32_t id = 0; id < t.size(); ++id) EXPECT_EQ(t.id_of(t.token(id)), id);
  EXPECT_EQ(t.decode(Ids{-1, 1 << 30, *t.id_of("a"), 2}), "a");
  const auto& sentencepiece = Tokenizer(fixtures / "llama2.json");
  EXPECT_EQ(sentencepiece.token(1), "<s>");
  EXPECT_EQ(sentencepiece.encode("", true), Ids{1});
}

TEST_F(TokenizerTest, NumbersOfAllScriptsStandAlone) {
  const Tokenizer t(fixtures / "digits.json");
  for (const std::string number : {"7", "½", "²", "Ⅷ", "١", "\U0001e4f3"}) {  // the last is of Unicode 15
    Ids alone = t.encode("a");
    for (const std::string& piece : {number, number, std::string("b")}) {
      const Ids ids = t.encode(piece);
      alone.insert(alone.end(), ids.begin(), ids.end());
    }
    EXPECT_EQ(t.encode("a" + number + number + "b"), alone) << number;
  }
}

TEST_F(TokenizerTest, IllFormedTextIsReadAsReplacementCharacters) {
  const std::string replacement = "\xef\xbf\xbd";
  for (const char* const name : {"digits", "llama2"}) {
    const Tokenizer t(fixtures / (std::string(name) + ".json"));
    EXPECT_EQ(t.encode("a\xff"), t.encode("a" + replacement));
    EXPECT_EQ(t.encode("\xe2\x82x"), t.encode(replacement + "x"));                           // one cut character
    EXPECT_EQ(t.encode("\xed\xa0\x80"), t.encode(replacement + replacement + replacement));  // a surrogate
    EXPECT_EQ(t.encode("\xc0\x80\xf5"), t.encode(replacement + replacement + replacement));  // overlong, too large
  }
}

TEST_F(TokenizerTest, ASpecialTokenIsLeftOutEvenWhereItIsNormalized) {
  json changed = fixture("llama2");
  for (json& token : changed["added_tokens"]) token["normalized"] = true;
  const Tokenizer t = tokenizer(changed.dump());
  EXPECT_EQ(t.token(2), "▁</s>");
  EXPECT_EQ(t.decode(Ids{2}, false), "</s>");
  EXPECT_EQ(t.decode(Ids{2}), "");
}

TEST_F(TokenizerTest, LongTextsAreQuick) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* const name : {"digits", "llama2"}) {
    const Tokenizer t(fixtures / (std::string(name) + ".json"));
    for (const char* const part : {" ", "ab", "\xe4\xb8\x80", "the balance 12 "}) {
      std::string text;
      while (text.size() < 100'000) text += part;
      EXPECT_EQ(t.decode(t.encode(text)), text);
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // quadratic: minutes
}

TEST_F(TokenizerTest, WhatIsNotSupportedIsNamed) {
  const std::string advice = " use a model whose tokenizer needs no more";
  EXPECT_EQ(problem("digits", {{"model", {{"type", "Unigram"}}}}),
            "FILE: model.type is 'Unigram' (supported: BPE)" + advice);
  EXPECT_EQ(problem("digits", {{"normalizer", {{"type", "NFKC"}}}}),
            "FILE: normalizer.type is 'NFKC' (supported: Prepend, Replace, and a Sequence of them)" + advice);
  EXPECT_EQ(problem("digits", {{"pre_tokenizer", {{"pretokenizers", {{{"type", "Punctuation"}}}}}}}),
            "FILE: pre_tokenizer.pretokenizers[0].type is 'Punctuation' (supported: ByteLevel, Digits, Metaspace, "
            "Split, and a Sequence of them)" +
                advice);
  EXPECT_EQ(problem("digits", {{"decoder", {{"type", "WordPiece"}}}}),
            "FILE: decoder.type is 'WordPiece' (supported: ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Strip, "
            "and a Sequence of them)" +
                advice);
  EXPECT_EQ(problem("digits", {{"post_processor", {{"type", "BertProcessing"}}}}),
            "FILE: post_processor.type is 'BertProcessing' (supported: ByteLevel, TemplateProcessing, and a Sequence "
            "of them)" +
                advice);
  EXPECT_EQ(problem("digits", {{"model", {{"end_of_word_suffix", "</w>"}}}}),
            "FILE: model.end_of_word_suffix is '</w>' (supported: none)" + advice);
  EXPECT_EQ(problem("digits", {{"model", {{"dropout", 0.1}}}}),
            "FILE: model.dropout is 0.1 (the encoding would be random) set it to null");
  EXPECT_EQ(problem("metaspace", {{"pre_tokenizer", {{"prepend_scheme", "last"}}}}),
            "FILE: pre_tokenizer.prepend_scheme is 'last' (supported: always, first, never)" + advice);
}

TEST_F(TokenizerTest, PatternsThatTheEnginesReadDifferentlyAreRefused) {
  const auto with = [&](const std::string& pattern) {
    return problem("digits", {{"pre_tokenizer",
                               {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}}});
  };
  for (const char* const fine : {R"(\s+(?!\S)|[^\r\n\p{L}]+|(?i:a)|\[|[\]]|(?<=a)b|^.$)", "(?>a)b++"})
    EXPECT_EQ(with(fine), "none");
  for (const auto& [pattern, part] : {std::pair(R"(\w+)", R"(\w)"), std::pair(R"(a\h)", R"(\h)"),
                                      std::pair("[a[b]]", "[ in a class"), std::pair("[a&&b]", "&& in a class"),
                                      std::pair("[]a]", "] at the start of a class"), std::pair("(?m:a)", "(?m:")})
    EXPECT_EQ(with(pattern), std::string("FILE: pre_tokenizer.pattern: the pattern has ") + part +
                                 " (PCRE2 and the Oniguruma of tokenizers read it differently) use a model whose "
                                 "tokenizer needs no such pattern");
  EXPECT_EQ(with("a*"),
            "FILE: pre_tokenizer.pattern: the pattern may match an empty text (it would cut between all characters) "
            "use a model whose tokenizer needs no such pattern");
  EXPECT_EQ(with("a("),
            "FILE: pre_tokenizer.pattern: the pattern is wrong at its byte 2 (missing closing "
            "parenthesis) correct it");
}

TEST_F(TokenizerTest, WrongFilesAreNamed) {
  EXPECT_EQ(problem_of("{"), "FILE is not JSON (it is cut off, or not UTF-8, or another format) fetch it again");
  EXPECT_EQ(problem_of("{\"model\": \"\xff\"}"),
            "FILE is not JSON (it is cut off, or not UTF-8, or another format) fetch it again");
  EXPECT_EQ(problem_of("[]"),
            "FILE: is no object (it is of type array) give a tokenizer.json as Hugging Face's tokenizers writes it");
  EXPECT_EQ(
      problem_of("{}"),
      "FILE: model is no object (it is of type null) give a tokenizer.json as Hugging Face's tokenizers writes it");
  EXPECT_EQ(problem("digits", {{"model", {{"merges", {"a b", "a no!"}}}}}),
            "FILE: model.merges[0] names the token 'ab' (the vocabulary has no such token) fetch the file again");
  EXPECT_EQ(problem("digits", {{"model", {{"merges", {"a b c"}}}}}),
            "FILE: model.merges[0] is 'a b c' (a merge has two parts with one space between them) correct it");
  EXPECT_EQ(problem("digits", {{"model", {{"vocab", {{"a", -3}}}}}}),
            "FILE: model.vocab gives 'a' the id -3 (it must be a whole number in 0 .. 1048575) correct it");
  EXPECT_EQ(problem("digits", {{"model", {{"vocab", {{"<|im_end|>", 7}}}}}}).substr(0, 47),
            "FILE: model and added_tokens give the id 7 to '");
  EXPECT_EQ(problem("llama2", {{"model", {{"unk_token", "<no>"}}}}),
            "FILE: model.unk_token names the token '<no>' (the vocabulary has no such token) fetch the file again");
  try {
    Tokenizer(folder_ / "missing");
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.what(), (folder_ / "missing").string() +
                                  " could not be read (there is no such file, or it is not readable) give a model "
                                  "folder that holds a tokenizer.json");
  }
}

// A file that was cut off is refused; one with wrong bytes is refused or works.
TEST_F(TokenizerTest, DamagedFilesDoNotCrash) {
  std::mt19937_64 random(3);
  for (const char* const name : {"digits", "metaspace"}) {
    json small = fixture(name);
    small["model"]["merges"] = json::array();
    const json vocabulary = small["model"]["vocab"];
    for (const auto& [token, id] : vocabulary.items())
      if (id > 40) small["model"]["vocab"].erase(token);
    const std::string whole = small.dump();
    for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 100)
      EXPECT_NE(problem_of(whole.substr(0, size)), "none") << size;
    int worked = 0;
    for (int i = 0; i < 1000; ++i) {
      std::string damaged = whole;
      for (uint64_t wrong = random() % 3 + 1; wrong > 0; --wrong)
        damaged[random() % damaged.size()] = whole[random() % whole.size()];
      try {
        const Tokenizer t = tokenizer(damaged);
        t.decode(t.encode("The 12 \U0001f600 <s>", true));
        ++worked;
      } catch (const Failure&) {
      }
    }
    EXPECT_GT(worked, 100);
    EXPECT_LT(worked, 900);
  }
}

}  // namespace
}  // namespace tightrope
