#include "tightrope/core/deck.hpp"

#include <xxhash.h>

#include <set>

#include "deck_text.hpp"
#include "deck_value.hpp"

namespace tightrope {
namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

[[noreturn]] void broken_schema(const std::string& problem) {
  throw std::logic_error("deck schema: " + problem + " (a mistake in the program) please report it");
}

}  // namespace

void FieldList::count(const std::string& name, int64_t& value, Range range, const std::string& unit,
                      const std::string& help) {
  fields_.push_back({name, Kind::count, &value, range, {}, unit, help});
}

void FieldList::real(const std::string& name, double& value, Range range, const std::string& unit,
                     const std::string& help) {
  fields_.push_back({name, Kind::real, &value, range, {}, unit, help});
}

void FieldList::bytes(const std::string& name, int64_t& value, Range range, const std::string& help) {
  fields_.push_back({name, Kind::bytes, &value, range, {}, "", help});
}

void FieldList::seconds(const std::string& name, double& value, Range range, const std::string& help) {
  fields_.push_back({name, Kind::seconds, &value, range, {}, "", help});
}

void FieldList::flag(const std::string& name, bool& value, const std::string& help) {
  fields_.push_back({name, Kind::flag, &value, {}, {}, "", help});
}

void FieldList::text(const std::string& name, std::string& value, const std::string& help) {
  fields_.push_back({name, Kind::text, &value, {}, {}, "", help});
}

void FieldList::choice(const std::string& name, std::string& value, std::vector<std::string> choices,
                       const std::string& help) {
  fields_.push_back({name, Kind::choice, &value, {}, std::move(choices), "", help});
}

DeckError::DeckError(std::vector<std::string> problems)
    : std::runtime_error(joined(problems)), problems_(std::move(problems)) {}

std::vector<Deck::Section> Deck::open(const Schema& schema) {
  std::vector<Section> sections;
  std::set<std::string> names;
  for (const auto& entry : schema.entries_) {
    Section section{entry.name, entry.help, {}, {}};
    section.fields = entry.make(section.holder).fields();
    if (!names.insert(entry.name).second) broken_schema("section '" + entry.name + "' is listed twice");
    for (const auto& field : section.fields) {
      const std::string key = entry.name + "." + field.name;
      if (!names.insert(key).second) broken_schema("key '" + key + "' is listed twice");
      const std::string fault = deck_value::fault(field);
      if (!fault.empty()) broken_schema("the default of " + key + " = " + deck_value::print(field) + " " + fault);
    }
    sections.push_back(std::move(section));
  }
  return sections;
}

Deck::Deck(const Schema& schema, const std::string& text, const std::string& file,
           const std::vector<std::string>& overrides)
    : sections_(open(schema)) {
  deck_text::Names names;
  std::map<std::string, const Field*> fields;
  for (size_t i = 0; i < sections_.size(); ++i) {
    const auto& section = sections_[i];
    by_type_.emplace(schema.entries_[i].type, i);
    names.sections.push_back(section.name);
    for (const auto& field : section.fields) {
      const std::string key = section.name + "." + field.name;
      names.keys.push_back(key);
      fields[key] = &field;
      origin_[key] = "default";
    }
  }
  for (const auto& section : schema.aliases_) {
    names.sections.push_back(section.name);
    for (const auto& alias : section.keys) {
      const std::string key = section.name + "." + alias.name;
      if (!fields.contains(alias.key)) broken_schema("alias '" + key + "' sets the unknown key '" + alias.key + "'");
      names.keys.push_back(key);
      names.aliases[key] = alias.key;
    }
  }
  std::vector<std::string> problems;
  const auto take = [&](const std::vector<deck_text::Line>& lines) {
    for (const auto& line : lines) {
      std::string problem = line.problem;
      if (problem.empty()) problem = deck_value::assign(*fields.at(line.key), line.key, line.value);
      if (!problem.empty()) {
        problems.push_back(line.where + ": " + problem);
      } else {
        origin_[line.key] = line.origin;
      }
    }
  };
  take(deck_text::read_file(text, file, names));
  take(deck_text::read_overrides(overrides, names));
  if (!problems.empty()) throw DeckError(std::move(problems));
}

std::string Deck::origin(const std::string& key) const {
  const auto found = origin_.find(key);
  if (found == origin_.end()) broken_schema("origin of the unknown key '" + key + "' was asked for");
  return found->second;
}

bool Deck::given(const std::string& key) const { return origin(key) != "default"; }

uint64_t Deck::hash() const {
  const std::string text = resolved();
  return XXH3_64bits(text.data(), text.size());
}

const std::any& Deck::holder(std::type_index type) const {
  const auto found = by_type_.find(type);
  if (found == by_type_.end()) broken_schema(std::string("no section of type ") + type.name());
  return sections_[found->second].holder;
}

}  // namespace tightrope
