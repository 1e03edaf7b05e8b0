#pragma once
// Private to the deck: one field's value as text.  The only file that names Boost.ProgramOptions is its source.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tightrope/core/deck.hpp"

namespace tightrope::deck_value {

struct Unit {
  std::string_view name;
  double factor;  // in bytes or seconds
};
constexpr std::array<Unit, 5> size_units{
    {{"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"B", 1}}};  // exact powers of two

// Reads `text` into the field's target, within its range and choices.  Returns "" or what is wrong, beginning with
// the key; the target is then unchanged.
std::string assign(const Field& field, const std::string& key, const std::string& text);

// What is wrong with the value that the target holds now, or "": a default must pass its own rules.
std::string fault(const Field& field);

// The target's value as a deck would give it; reads back as the same value, to the last bit.
std::string print(const Field& field);

std::string range(const Field& field);  // "1 .. 1e9", "at least 0", "async, lockstep", "" where anything goes

// One section of --help, by Boost's printer, with the values that the targets hold as defaults.
std::string help(const std::string& section, const std::string& about, const std::vector<Field>& fields);

}  // namespace tightrope::deck_value
