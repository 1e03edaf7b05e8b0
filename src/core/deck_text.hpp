#pragma once
// Private to the deck: text becomes assignments, with the place of each; nothing is converted here.
#include <map>
#include <string>
#include <vector>

namespace tightrope::deck_text {

// Every name that a program knows, in the order of its schema; keys are full ("section.key").
struct Names {
  std::vector<std::string> sections;
  std::vector<std::string> keys;               // aliases too
  std::map<std::string, std::string> aliases;  // full name -> the key that it sets
  const std::string& canonical(const std::string& key) const {
    const auto found = aliases.find(key);
    return found == aliases.end() ? key : found->second;
  }
};

// One line of a deck or one override: either an assignment to a known key, or a problem.
struct Line {
  std::string where;       // "deck.ini:12" or "--trainer.batch": how a message about it begins
  std::string origin;      // "deck.ini:12" or "command line"
  std::string key, value;  // full name; value trimmed, never with a line break
  std::string problem;     // empty for an assignment
};

// INI: [section], key = value; a comment begins with '#' at the start of a line or after a space.  LF or CRLF.
// A section may appear again; a key may not.  Keys of an unknown section are covered by that section's problem.
std::vector<Line> read_file(const std::string& text, const std::string& file, const Names& names);

// "--section.key=value" arguments.
std::vector<Line> read_overrides(const std::vector<std::string>& overrides, const Names& names);

std::string trimmed(const std::string& text);
bool is_control(char c);  // other than tab
// For messages: short, and without control characters.
std::string shown(const std::string& text);
std::string quoted(const std::string& text);  // 'shown'

}  // namespace tightrope::deck_text
