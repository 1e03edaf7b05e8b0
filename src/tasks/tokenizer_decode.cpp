#include "tokenizer_decode.hpp"

#include <optional>
#include <utility>

#include "tightrope/base/check.hpp"
#include "tokenizer_text.hpp"

namespace tightrope::tokenizing {

namespace {

using Tokens = std::vector<std::string>;
using Step = std::function<void(Tokens&)>;

// {"pattern": {"String": from}, "content": to}
std::pair<std::string, std::string> read_replace(const Place& json) {
  const Place pattern = json["pattern"];
  if (!pattern["Regex"].is_null()) pattern.refuse("a Regex", "a String");
  const std::string& from = pattern["String"].text();
  VALIDATE(!from.empty(), pattern.where() + " is empty", "it would be found everywhere", "correct it");
  return {from, json["content"].text()};
}

void fuse(Tokens& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens = {std::move(all)};
}

void byte_level(Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) append_bytes(token, bytes);
  tokens = {lossy_utf8(bytes)};
}

std::optional<char> byte_of(const std::string& token) {  // "<0xE2>"
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    const size_t digit = std::string_view("0123456789abcdefABCDEF").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    byte = 16 * byte + static_cast<int>(digit < 16 ? digit : digit - 6);
  }
  return static_cast<char>(byte);
}

// A run of byte tokens is a text or, where it is not UTF-8, U+FFFD for each byte.
void byte_fallback(Tokens& tokens) {
  Tokens result;
  std::string run;
  const auto end_run = [&] {
    if (is_utf8(run) && !run.empty())
      result.push_back(run);
    else
      result.insert(result.end(), run.size(), "\xef\xbf\xbd");
    run.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of(token)) {
      run += *byte;
    } else {
      end_run();
      result.push_back(std::move(token));
    }
  }
  end_run();
  tokens = std::move(result);
}

// At most `start` of `mark` from the start of each token and `stop` from its end.
Step strip(const Place& json) {
  const std::string mark = json["content"].text();
  VALIDATE(!mark.empty() && character_at(mark, 0).bytes == mark.size(), json["content"].where() + " is '" + mark + "'",
           "it must be one character", "correct it");
  const int64_t start = json["start"].count(1 << 20), stop = json["stop"].count(1 << 20);
  return [=](Tokens& tokens) {
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start && token.starts_with(mark); ++i) token.erase(0, mark.size());
      for (int64_t i = 0; i < stop && token.ends_with(mark); ++i) token.resize(token.size() - mark.size());
    }
  };
}

// Marks are spaces; those of the first token are dropped where the encoder may have put one there.
Step metaspace(const Place& json) {
  const std::string mark = json["replacement"].text();
  VALIDATE(!mark.empty(), json["replacement"].where() + " is empty", "it must be one character", "correct it");
  const Place scheme = json["prepend_scheme"];
  const bool prefix = json["add_prefix_space"].flag(true) && (scheme.is_null() || scheme.text() != "never");
  return [mark, prefix](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = replaced(tokens[i], mark, i == 0 && prefix ? "" : " ");
  };
}

}  // namespace

std::vector<std::function<void(std::string&)>> read_normalizer(const Place& normalizer) {
  std::vector<std::function<void(std::string&)>> steps;
  for (const Place& json : normalizer.sequence("normalizers")) {
    const std::string& type = json["type"].text();
    if (type == "Prepend") {
      steps.push_back([prefix = json["prepend"].text()](std::string& text) {
        if (!text.empty()) text.insert(0, prefix);
      });
    } else if (type == "Replace") {
      steps.push_back(
          [pair = read_replace(json)](std::string& text) { text = replaced(text, pair.first, pair.second); });
    } else {
      json["type"].refuse(type, "Prepend, Replace, and a Sequence of them");
    }
  }
  return steps;
}

Decoder read_decoder(const Place& decoder) {
  Decoder result;
  result.spaces = decoder.is_null();
  for (const Place& json : decoder.sequence("decoders")) {
    const std::string& type = json["type"].text();
    if (type == "ByteLevel") {
      result.steps.push_back(byte_level);
    } else if (type == "ByteFallback") {
      result.steps.push_back(byte_fallback);
    } else if (type == "Fuse") {
      result.steps.push_back(fuse);
    } else if (type == "Strip") {
      result.steps.push_back(strip(json));
    } else if (type == "Metaspace") {
      result.steps.push_back(metaspace(json));
    } else if (type == "Replace") {
      result.steps.push_back([pair = read_replace(json)](Tokens& tokens) {
        for (std::string& token : tokens) token = replaced(token, pair.first, pair.second);
      });
    } else {
      json["type"].refuse(type, "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Strip, and a Sequence of them");
    }
  }
  return result;
}

}  // namespace tightrope::tokenizing
