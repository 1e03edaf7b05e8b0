#pragma once
// Private to the tokenizer: a value of tokenizer.json with its place, so that every message can say where it stands.
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tightrope::tokenizing {

// Refers to a document that must outlive it.  All of its functions throw Failure where the value is of another kind.
class Place {
 public:
  Place(const nlohmann::json& value, std::string where);  // `where` begins with the file: "FILE: model.merges"

  Place operator[](const char* key) const;  // null where the object lacks the key
  std::vector<Place> items() const;         // of an array; none where the value is null
  const nlohmann::json& object() const;
  const nlohmann::json& value() const { return value_; }

  bool is_null() const { return value_.is_null(); }
  const std::string& text() const;
  bool flag(bool absent) const;          // `absent` where the value is null
  int64_t count(int64_t at_most) const;  // 0 .. at_most
  const std::string& where() const { return where_; }

  // The objects of the list `key` of a Sequence, this object alone where it is none, nothing where it is null.
  std::vector<Place> sequence(const char* key) const;

  // "WHERE is 'type' (supported: ...) convert the tokenizer"
  [[noreturn]] void refuse(std::string_view what, std::string_view supported) const;

 private:
  const nlohmann::json& value_;
  std::string where_;
};

// For messages: a number or text as it is written, the name of its type for a list or an object.
std::string shown(const nlohmann::json& value);

// Where it is not JSON in UTF-8, or cannot be read: Failure.
nlohmann::json read_json(const std::filesystem::path& file);

}  // namespace tightrope::tokenizing
