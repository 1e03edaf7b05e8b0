#include "tightrope/tasks/tokenizer.hpp"

#include <algorithm>

#include "tightrope/base/check.hpp"
#include "tokenizer_added.hpp"
#include "tokenizer_bpe.hpp"
#include "tokenizer_decode.hpp"
#include "tokenizer_json.hpp"
#include "tokenizer_split.hpp"

namespace tightrope {

using namespace tokenizing;

namespace {

struct Template {
  std::vector<int32_t> before, after;  // the ids around a text
};

// "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], with the ids in "special_tokens".
Template read_template(const Place& json) {
  Template around;
  bool seen = false;
  for (const Place& item : json["single"].items()) {
    if (!item["Sequence"].is_null()) {
      VALIDATE(!seen, item.where() + " is a second Sequence", "a template has one text", "correct it");
      seen = true;
      continue;
    }
    const std::string& name = item["SpecialToken"]["id"].text();
    for (const Place& id : json["special_tokens"][name.c_str()]["ids"].items())
      (seen ? around.after : around.before).push_back(static_cast<int32_t>(id.count(largest_id)));
  }
  VALIDATE(seen, json.where() + ".single has no Sequence", "a template has one text", "correct it");
  return around;
}

Template read_post_processor(const Place& post_processor) {
  Template around;
  for (const Place& json : post_processor.sequence("processors")) {
    const std::string& type = json["type"].text();
    if (type == "TemplateProcessing")
      around = read_template(json);
    else if (type != "ByteLevel")  // which changes offsets only
      json["type"].refuse(type, "ByteLevel, TemplateProcessing, and a Sequence of them");
  }
  return around;
}

}  // namespace

struct Tokenizer::Parts {
  Parts(const nlohmann::json& json, const std::string& file);

  void name_tokens(const std::vector<AddedToken>& added, const Place& model);
  void encode_piece(std::string_view piece, std::vector<int32_t>& ids);
  void encode_plain(std::string text, bool at_start, std::vector<int32_t>& ids);
  void encode_normalized(std::string text, bool at_start, std::vector<int32_t>& ids);

  std::vector<std::function<void(std::string&)>> normalizer;
  Splitter splitter;
  Bpe bpe;
  Decoder decoder;
  Template around;
  AddedMatcher raw;                     // added tokens that are looked for in the text itself
  AddedMatcher normalized;              // ... in the normalised text
  std::vector<std::string> tokens;      // [id]
  std::vector<uint8_t> special;         // [id]
  TextMap<int32_t> added_ids;           // [content]
  TextMap<std::vector<int32_t>> cache;  // [piece]
};

namespace {

// Those that are looked for after normalisation, themselves normalised, or the others.
AddedMatcher matcher(std::vector<AddedToken> tokens, bool normalized,
                     const std::vector<std::function<void(std::string&)>>& normalizer) {
  std::erase_if(tokens, [&](const AddedToken& token) { return token.normalized != normalized; });
  std::ranges::stable_partition(tokens, &AddedToken::special);  // of equal texts a special one wins
  if (normalized)
    for (AddedToken& token : tokens)
      for (const auto& step : normalizer) step(token.content);
  return AddedMatcher(std::move(tokens));
}

}  // namespace

Tokenizer::Parts::Parts(const nlohmann::json& json, const std::string& file)
    : normalizer(read_normalizer(Place(json, file + ":")["normalizer"])),
      splitter(read_splitter(Place(json, file + ":")["pre_tokenizer"])),
      bpe(Place(json, file + ":")["model"]),
      decoder(read_decoder(Place(json, file + ":")["decoder"])),
      around(read_post_processor(Place(json, file + ":")["post_processor"])),
      raw(matcher(read_added_tokens(Place(json, file + ":")["added_tokens"]), false, normalizer)),
      normalized(matcher(read_added_tokens(Place(json, file + ":")["added_tokens"]), true, normalizer)) {
  name_tokens(read_added_tokens(Place(json, file + ":")["added_tokens"]), Place(json, file + ":")["model"]);
}

void Tokenizer::Parts::name_tokens(const std::vector<AddedToken>& added, const Place& model) {
  const auto name = [&](const std::string& token, int32_t id) {
    if (id >= static_cast<int32_t>(tokens.size())) tokens.resize(static_cast<size_t>(id) + 1);
    VALIDATE(tokens[id].empty() || tokens[id] == token,
             model.where() + " and added_tokens give the id " + std::to_string(id) + " to '" + tokens[id] +
                 "' and to '" + token + "'",
             "an id names one token", "fetch the file again");
    tokens[id] = token;
  };
  for (const auto& [token, id] : bpe.vocabulary()) name(token, id);
  for (const AddedToken& token : added) {
    const auto known = bpe.vocabulary().find(token.content);
    VALIDATE(known == bpe.vocabulary().end() || known->second == token.id,
             "the added token '" + token.content + "' has the id " + std::to_string(token.id),
             model.where() + " gives it the id " + std::to_string(known->second), "fetch the file again");
    name(token.content, token.id);
    added_ids.insert_or_assign(token.content, token.id);
  }
  special.resize(tokens.size());
  for (const AddedToken& token : added) {
    special[token.id] |= token.special;
    if (token.normalized)
      for (const auto& step : normalizer) step(tokens[token.id]);
  }
}

Tokenizer::Tokenizer(const std::filesystem::path& folder_or_file) {
  const auto file = is_directory(folder_or_file) ? folder_or_file / "tokenizer.json" : folder_or_file;
  parts_ = std::make_unique<Parts>(read_json(file), file.string());
}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

// Texts are mostly words that came before; a word of natural language or of code is short.
void Tokenizer::Parts::encode_piece(std::string_view piece, std::vector<int32_t>& ids) {
  constexpr size_t longest_cached = 64, most_cached = 1 << 16;  // bytes, pieces
  if (const auto found = cache.find(piece); found != cache.end()) {
    ids.insert(ids.end(), found->second.begin(), found->second.end());
    return;
  }
  const auto before = static_cast<std::ptrdiff_t>(ids.size());
  if (splitter.byte_level) {
    std::string letters;
    append_letters(piece, letters);
    bpe.encode(letters, ids);
  } else {
    bpe.encode(piece, ids);
  }
  if (piece.size() > longest_cached) return;
  if (cache.size() >= most_cached) cache.clear();
  cache.emplace(piece, std::vector<int32_t>(ids.begin() + before, ids.end()));
}

void Tokenizer::Parts::encode_plain(std::string text, bool at_start, std::vector<int32_t>& ids) {
  const size_t size = text.size();
  Pieces pieces{std::move(text), {{0, size}}, at_start};
  for (const auto& step : splitter.steps) step(pieces);
  for (const Range range : pieces.ranges)
    encode_piece(std::string_view(pieces.text).substr(range.begin, range.end - range.begin), ids);
}

void Tokenizer::Parts::encode_normalized(std::string text, bool at_start, std::vector<int32_t>& ids) {
  for (const auto& step : normalizer) step(text);
  for (const auto& [range, token] : normalized.parts(text)) {
    if (token)
      ids.push_back(token->id);
    else
      encode_plain(text.substr(range.begin, range.end - range.begin), at_start && range.begin == 0, ids);
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  if (!is_utf8(text)) return encode(lossy_utf8(text), add_special);
  std::vector<int32_t> ids;
  if (add_special) ids = parts_->around.before;
  for (const auto& [range, token] : parts_->raw.parts(text)) {
    if (token)
      ids.push_back(token->id);
    else
      parts_->encode_normalized(std::string(text.substr(range.begin, range.end - range.begin)), range.begin == 0, ids);
  }
  if (add_special) ids.insert(ids.end(), parts_->around.after.begin(), parts_->around.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids)
    if (!(skip_special && is_special(id)))
      if (std::string name = token(id); !name.empty()) tokens.push_back(std::move(name));
  for (const auto& step : parts_->decoder.steps) step(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) (text += i > 0 && parts_->decoder.spaces ? " " : "") += tokens[i];
  return text;
}

std::string Tokenizer::token(int32_t id) const { return id >= 0 && id < size() ? parts_->tokens[id] : std::string(); }

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto& added = parts_->added_ids;
  if (const auto found = added.find(token); found != added.end()) return found->second;
  const auto& vocabulary = parts_->bpe.vocabulary();
  if (const auto found = vocabulary.find(token); found != vocabulary.end()) return found->second;
  return std::nullopt;
}

bool Tokenizer::is_special(int32_t id) const { return id >= 0 && id < size() && parts_->special[id]; }

int32_t Tokenizer::size() const { return static_cast<int32_t>(parts_->tokens.size()); }

}  // namespace tightrope
