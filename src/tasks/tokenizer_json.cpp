#include "tokenizer_json.hpp"

#include <fstream>
#include <sstream>

#include "tightrope/base/check.hpp"

namespace tightrope::tokenizing {

namespace {

const char* const whole_file = "give a tokenizer.json as Hugging Face's tokenizers writes it";

}  // namespace

Place::Place(const nlohmann::json& value, std::string where) : value_(value), where_(std::move(where)) {}

const nlohmann::json& Place::object() const {
  VALIDATE(value_.is_object(), where_ + " is no object", std::string("it is of type ") + value_.type_name(),
           whole_file);
  return value_;
}

Place Place::operator[](const char* key) const {
  static const nlohmann::json absent;
  const auto found = object().find(key);
  const char* const separator = where_.ends_with(":") ? " " : ".";
  return Place(found == value_.end() ? absent : *found, where_ + separator + key);
}

std::vector<Place> Place::items() const {
  VALIDATE(value_.is_array() || value_.is_null(), where_ + " is no list",
           std::string("it is of type ") + value_.type_name(), whole_file);
  std::vector<Place> items;
  items.reserve(value_.size());
  for (const auto& item : value_) items.emplace_back(item, where_ + "[" + std::to_string(items.size()) + "]");
  return items;
}

const std::string& Place::text() const {
  VALIDATE(value_.is_string(), where_ + " is no text", std::string("it is of type ") + value_.type_name(), whole_file);
  return value_.get_ref<const std::string&>();
}

bool Place::flag(bool absent) const {
  if (value_.is_null()) return absent;
  VALIDATE(value_.is_boolean(), where_ + " is neither true nor false",
           std::string("it is of type ") + value_.type_name(), whole_file);
  return value_.get<bool>();
}

int64_t Place::count(int64_t at_most) const {
  VALIDATE(value_.is_number_integer(), where_ + " is no whole number",
           std::string("it is of type ") + value_.type_name(), whole_file);
  VALIDATE(value_ >= 0 && value_ <= at_most, where_ + " is " + value_.dump(),
           "it must be in 0 .. " + std::to_string(at_most), whole_file);
  return value_.get<int64_t>();
}

std::vector<Place> Place::sequence(const char* key) const {
  if (is_null()) return {};
  if ((*this)["type"].text() != "Sequence") return {*this};
  return (*this)[key].items();
}

void Place::refuse(std::string_view what, std::string_view supported) const {
  throw Failure(where_ + " is '" + std::string(what) + "'", "supported: " + std::string(supported),
                "use a model whose tokenizer needs no more");
}

std::string shown(const nlohmann::json& value) {
  return value.is_structured() ? std::string("an ") + value.type_name() : value.dump();
}

nlohmann::json read_json(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  VALIDATE(in && !in.bad(), file.string() + " could not be read", "there is no such file, or it is not readable",
           "give a model folder that holds a tokenizer.json");
  auto json = nlohmann::json::parse(std::move(text).str(), nullptr, false);
  VALIDATE(!json.is_discarded(), file.string() + " is not JSON", "it is cut off, or not UTF-8, or another format",
           "fetch it again");
  return json;
}

}  // namespace tightrope::tokenizing
