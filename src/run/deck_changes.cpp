// What a deck says that another one, given as its resolved text, did not.
#include <algorithm>
#include <map>

#include "tightrope/run/command_line.hpp"

namespace tightrope {
namespace {

// "section.key" -> value, of lines "[section]" and "key = value" (Deck::resolved).
std::map<std::string, std::string> values_of(const std::string& resolved) {
  std::map<std::string, std::string> values;
  std::string section;
  for (size_t begin = 0; begin < resolved.size();) {
    const size_t end = std::min(resolved.find('\n', begin), resolved.size());
    const std::string line = resolved.substr(begin, end - begin);
    const size_t equals = line.find(" =");
    begin = end + 1;
    if (line.starts_with('[')) {
      section = line.substr(1, line.find(']') - 1);
    } else if (equals != std::string::npos) {
      values[section + "." + line.substr(0, equals)] = line.substr(std::min(equals + 3, line.size()));
    }
  }
  return values;
}

}  // namespace

std::vector<std::string> deck_changes(const std::string& before, const Deck& now) {
  const auto old = values_of(before);
  std::vector<std::string> changes;
  for (const auto& [key, value] : values_of(now.resolved())) {
    const auto found = old.find(key);
    if (found == old.end() && now.given(key)) changes.push_back(key + ": (no such key) -> " + value);
    if (found != old.end() && found->second != value) changes.push_back(key + ": " + found->second + " -> " + value);
  }
  return changes;
}

}  // namespace tightrope
