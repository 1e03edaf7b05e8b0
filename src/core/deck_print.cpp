#include <algorithm>
#include <charconv>
#include <cmath>

#include "deck_value.hpp"

namespace tightrope {
namespace deck_value {
namespace {

// Shortest text that reads back as the same double, without the padding of exponents ("1e9", not "1e+09").
std::string shortest(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  const bool negative = text[exponent + 1] == '-';
  const size_t digits = text.find_first_not_of("+-0", exponent + 1);
  return text.substr(0, exponent + 1) + (negative ? "-" : "") + text.substr(digits);
}

std::string print_bytes(int64_t value) {
  for (const auto& unit : size_units) {
    const auto factor = static_cast<int64_t>(unit.factor);
    if (value != 0 && value % factor == 0) return std::to_string(value / factor) + std::string(unit.name);
  }
  return "0B";
}

std::string print_seconds(double value) { return shortest(value) + (std::isfinite(value) ? "s" : ""); }

// A limit of a range, in the field's own notation.
std::string print_limit(const Field& field, double limit) {
  if (field.kind == Kind::seconds) return print_seconds(limit);
  const bool exact = field.kind == Kind::bytes && std::abs(limit) < 0x1p62 && limit == std::floor(limit);
  return exact ? print_bytes(static_cast<int64_t>(limit)) : shortest(limit);
}

}  // namespace

std::string print(const Field& field) {
  if (const auto* count = std::get_if<int64_t*>(&field.target)) {
    return field.kind == Kind::bytes ? print_bytes(**count) : std::to_string(**count);
  }
  if (const auto* real = std::get_if<double*>(&field.target)) {
    return field.kind == Kind::seconds ? print_seconds(**real) : shortest(**real);
  }
  if (const auto* flag = std::get_if<bool*>(&field.target)) return **flag ? "yes" : "no";
  return **std::get_if<std::string*>(&field.target);
}

std::string range(const Field& field) {
  std::string text;
  if (field.kind == Kind::choice) {
    for (const auto& choice : field.choices) text += (text.empty() ? "" : ", ") + choice;
    return text;
  }
  const bool below = std::isfinite(field.range.least), above = std::isfinite(field.range.most);
  if (below && above) return print_limit(field, field.range.least) + " .. " + print_limit(field, field.range.most);
  if (below) return "at least " + print_limit(field, field.range.least);
  return above ? "at most " + print_limit(field, field.range.most) : "";
}

}  // namespace deck_value

namespace {

// A bar would end the cell of a table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string code(const std::string& text) {
  if (text.empty()) return "";
  std::string out(1, '`');
  out += cell(text);
  return out += '`';
}

std::string unit_of(const Field& field) {
  switch (field.kind) {
    case Kind::bytes:
      return "bytes";
    case Kind::seconds:
      return "seconds";
    case Kind::flag:
      return "yes or no";
    case Kind::choice:
      return "one of";
    case Kind::text:
      return "text";
    default:
      return field.unit;
  }
}

constexpr const char* introduction = R"(# The deck: every key

A deck is an INI file: `[section]` lines, `key = value` lines, and comments from `#` (at the start of a line or after a
space) to the end of the line.  Text needs no quotes.  On the command line the same keys are `--section.key=value`, and
win over the file; abbreviations are refused.  `tightrope --help` prints this list in the terminal.

| kind of value | write | means |
|---|---|---|
| count | `64`, `1e6` | a whole number |
| real | `0.01`, `1e-3` | a number |
| bytes | `4096`, `512MiB` | whole bytes; units B, KiB, MiB, GiB, TiB, each 1024 of the one before |
| seconds | `90`, `90s`, `3h50m`, `250ms` | a time; units d, h, m, s, ms, us |
| yes or no | `yes`, `no` | also true, false, on, off, 1, 0 |

This page is generated from the program's own list of keys: change it there.
)";

}  // namespace

std::string Deck::print() const {
  constexpr size_t widest = 44;  // comments line up, unless a value is longer than this
  std::string out;
  for (const auto& section : sections_) {
    if (!out.empty()) out += '\n';
    if (!section.help.empty()) out += "# " + section.help + "\n";
    out += "[" + section.name + "]\n";
    for (const auto& field : section.fields) {
      std::string line = field.name + " = " + deck_value::print(field);
      line.resize(std::max(line.size(), widest), ' ');
      out += line + "  # " + origin(section.name + "." + field.name);
      out += (field.unit.empty() ? "" : " (" + field.unit + ")") + "\n";
    }
  }
  return out;
}

std::string Deck::resolved() const {
  std::string out;
  for (const auto& section : sections_) {
    out += "[" + section.name + "]\n";
    for (const auto& field : section.fields) {
      const std::string value = deck_value::print(field);
      out += field.name + (value.empty() ? " =" : " = " + value) + "\n";
    }
  }
  return out;
}

std::string Deck::help(const Schema& schema) {
  std::string out;
  for (const auto& section : open(schema)) {
    if (!out.empty()) out += '\n';
    out += deck_value::help(section.name, section.help, section.fields);
  }
  for (const auto& section : schema.aliases_) {
    out += "\n[" + section.name + "]  " + section.help + "\n";
    for (const auto& alias : section.keys) out += "  " + alias.name + " = same as " + alias.key + "\n";
  }
  return out;
}

std::string Deck::markdown(const Schema& schema) {
  std::string out = introduction;
  for (const auto& section : open(schema)) {
    out += "\n## [" + section.name + "]\n" + (section.help.empty() ? "" : "\n" + section.help + "\n");
    out += "\n| key | default | unit | range | meaning |\n|---|---|---|---|---|\n";
    for (const auto& field : section.fields) {
      const std::string value = deck_value::print(field);
      out += "| `" + field.name + "` | " + code(value) + " | " + cell(unit_of(field)) + " | " +
             cell(deck_value::range(field)) + " | " + cell(field.help) + " |\n";
    }
  }
  for (const auto& section : schema.aliases_) {
    out += "\n## [" + section.name + "]\n\n" + section.help + "\n\n| key | the same as |\n|---|---|\n";
    for (const auto& alias : section.keys) out += "| `" + alias.name + "` | `" + alias.key + "` |\n";
  }
  return out;
}

}  // namespace tightrope
