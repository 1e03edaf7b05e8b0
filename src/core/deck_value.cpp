#include "deck_value.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string_view>

#include "deck_text.hpp"

namespace po = boost::program_options;

namespace tightrope::deck_value {
namespace {

// One type per kind of value: Boost finds the matching validate() below by it.
struct Count {
  int64_t value;
};
struct Bytes {
  int64_t value;
};
struct Real {
  double value;
};
struct Seconds {
  double value;
};
struct Flag {
  bool value;
};
struct Text {
  std::string value;
};
struct Choice {
  std::string value;
};

constexpr std::array<Unit, 6> time_units{{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}}};

// A value that cannot be: the message follows "key = text ".
[[noreturn]] void refuse(const std::string& message) { throw po::error(message); }

// Takes the number at the front of `rest`; `otherwise` is the complaint where there is none.
template <class T>
T leading_number(std::string_view& rest, const char* otherwise) {
  T value = 0;
  if (rest.size() > 1 && rest[0] == '+' && rest[1] != '-') rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error == std::errc::result_out_of_range) refuse("does not fit (it is beyond what 64 bits hold) give another");
  if (error != std::errc() || std::isnan(value)) refuse(otherwise);
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  return value;
}

void skip_blanks(std::string_view& rest) { rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size())); }

// long double, so that every 64-bit whole number is exact.
int64_t whole(long double value, const char* otherwise) {
  if (!(std::abs(value) < 0x1p63L)) refuse("does not fit (it is beyond what 64 bits hold) give another");
  if (value != std::floor(value)) refuse(otherwise);
  return static_cast<int64_t>(value);
}

Count read(std::string_view text, Count*) {
  constexpr auto otherwise = "is not a count (a count is a whole number) write it like 64 or 1e6";
  const auto value = leading_number<long double>(text, otherwise);
  if (!text.empty()) refuse(otherwise);
  return {whole(value, otherwise)};
}

Bytes read(std::string_view text, Bytes*) {
  constexpr auto otherwise = "is not a size (whole bytes; units B, KiB, MiB, GiB, TiB) write it like 512MiB";
  auto value = leading_number<long double>(text, otherwise);
  skip_blanks(text);
  if (!text.empty()) {
    const auto unit = std::find_if(size_units.begin(), size_units.end(), [&](Unit u) { return u.name == text; });
    if (unit == size_units.end()) refuse(otherwise);
    value *= unit->factor;
  }
  return {whole(value, otherwise)};
}

Real read(std::string_view text, Real*) {
  constexpr auto otherwise = "is not a number (a real is wanted) write it like 0.01 or 1e-3";
  const auto value = leading_number<double>(text, otherwise);
  if (!text.empty()) refuse(otherwise);
  return {value + 0.0};  // -0 becomes 0: one value, one text, one hash
}

Seconds read(std::string_view text, Seconds*) {
  constexpr auto otherwise =
      "is not a time (units d, h, m, s, ms, us, each once, longest first) write it like 90s or 3h50m";
  const bool negative = text.front() == '-';
  double sum = 0, longest = HUGE_VAL;
  for (bool first = true; first || !text.empty(); first = false) {
    const double value = leading_number<double>(text, otherwise);
    if (!first && !(value >= 0)) refuse(otherwise);
    skip_blanks(text);
    if (first && text.empty()) return {value + 0.0};  // a plain number is in seconds
    const auto name = text.substr(0, std::min(text.find_first_not_of("dhmsu"), text.size()));
    const auto unit = std::find_if(time_units.begin(), time_units.end(), [&](Unit u) { return u.name == name; });
    if (unit == time_units.end() || unit->factor >= longest) refuse(otherwise);
    // Dividing by 1000 rounds once where multiplying by 1e-3 rounds twice: 250ms is exactly 0.25 s.
    const double part = unit->factor < 1 ? value / std::round(1 / unit->factor) : value * unit->factor;
    sum += negative && !first ? -part : part;
    longest = unit->factor;
    text.remove_prefix(name.size());
    skip_blanks(text);
  }
  return {sum + 0.0};
}

Flag read(std::string_view text, Flag*) {
  for (const auto yes : {"yes", "true", "on", "1"}) {
    if (text == yes) return {true};
  }
  for (const auto no : {"no", "false", "off", "0"}) {
    if (text == no) return {false};
  }
  refuse("is neither yes nor no (also true, false, on, off, 1, 0) write one of them");
}

Text read(std::string_view text, Text*) {
  // What print() writes must read back: no line breaks, and no comment inside.
  bool comment = text.starts_with('#');
  for (size_t i = 0; i < text.size(); ++i) {
    comment = comment || (i > 0 && text[i] == '#' && (text[i - 1] == ' ' || text[i - 1] == '\t'));
    if (deck_text::is_control(text[i])) refuse("cannot stand in a deck (it holds a control character) remove it");
  }
  if (comment) refuse("cannot stand in a deck (a comment would begin at its '#') choose another text");
  return {std::string(text)};
}

Choice read(std::string_view text, Choice*) { return {std::string(text)}; }

// Boost's hook for custom types.
template <class V>
void validate(boost::any& out, const std::vector<std::string>& texts, V* kind, int) {
  out = read(texts.at(0), kind);
}

std::string fault_of(const Field& field, double value) {
  if (value >= field.range.least && value <= field.range.most) return "";
  const bool own_unit = field.kind == Kind::bytes || field.kind == Kind::seconds || field.unit.empty();
  return "is out of range (" + range(field) + (own_unit ? "" : " " + field.unit) + ") give a value inside it";
}

std::string fault_of(const Field& field, const std::string& value) {
  if (field.kind != Kind::choice) return "";
  for (const auto& choice : field.choices) {
    if (choice == value) return "";
  }
  const auto near = nearest(value, field.choices);
  return "is not a choice (" + range(field) + ")" + (near.empty() ? " take one" : "; did you mean '" + near + "'?");
}

template <class V>
po::value_semantic* option(const Field& field, const std::string& placeholder) {
  using Stored = decltype(V::value);
  auto* target = std::get<Stored*>(field.target);
  return po::value<V>()
      ->value_name(placeholder)
      ->default_value(V{*target}, print(field))
      ->notifier([&field, target](const V& read) {
        if constexpr (!std::is_same_v<Stored, bool>) {
          if (const auto wrong = fault_of(field, read.value); !wrong.empty()) refuse(wrong);
        }
        *target = read.value;
      });
}

// Boost owns what this returns once it is added to a description.
po::value_semantic* option(const Field& field) {
  switch (field.kind) {
    case Kind::count:
      return option<Count>(field, "count");
    case Kind::real:
      return option<Real>(field, "real");
    case Kind::bytes:
      return option<Bytes>(field, "size");
    case Kind::seconds:
      return option<Seconds>(field, "time");
    case Kind::flag:
      return option<Flag>(field, "yes|no");
    case Kind::choice:
      return option<Choice>(field, "choice");
    case Kind::text:
      break;
  }
  return option<Text>(field, "text");
}

}  // namespace

std::string assign(const Field& field, const std::string& key, const std::string& text) {
  if (text.empty() && field.kind != Kind::text) {
    return key + " has no value (only a text may be empty) give one or leave the key out";
  }
  po::options_description description;
  description.add_options()(key.c_str(), option(field));
  po::parsed_options parsed(&description);
  parsed.options.emplace_back(key, std::vector<std::string>{text});
  try {
    po::variables_map values;
    po::store(parsed, values);
    po::notify(values);
  } catch (const po::error& error) {
    return key + " = " + deck_text::shown(text) + " " + error.what();
  }
  return "";
}

std::string fault(const Field& field) {
  if (const auto* count = std::get_if<int64_t*>(&field.target)) return fault_of(field, static_cast<double>(**count));
  if (const auto* real = std::get_if<double*>(&field.target)) return fault_of(field, **real);
  if (const auto* text = std::get_if<std::string*>(&field.target)) return fault_of(field, **text);
  return "";
}

std::string help(const std::string& section, const std::string& about, const std::vector<Field>& fields) {
  constexpr unsigned columns = 110, least_for_text = 55;
  po::options_description group("[" + section + "]" + (about.empty() ? "" : " " + about), columns, least_for_text);
  for (const auto& field : fields) {
    std::string bounds = range(field);
    if (!bounds.empty() && !field.unit.empty()) bounds += " ";
    if (field.kind == Kind::count || field.kind == Kind::real) bounds += field.unit;
    const std::string text = field.help + (bounds.empty() ? "" : " [" + bounds + "]");
    group.add_options()((section + "." + field.name).c_str(), option(field), text.c_str());
  }
  std::ostringstream out;
  out << group;
  return out.str();
}

}  // namespace tightrope::deck_value
