#include "difference.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "listing.hpp"
#include "tightrope/base/json.hpp"
#include "values.hpp"

namespace tightrope::inspect {
namespace {

using Names = std::set<std::string>;
constexpr const char* none = "(none)";

std::string line(const std::string& what, const std::string& name, const std::string& before,
                 const std::string& after) {
  return what + " " + name + ": " + (before.empty() ? "''" : before) + " -> " + (after.empty() ? "''" : after);
}

Names joined(const std::vector<std::string>& a, const std::vector<std::string>& b, const Names& ignored) {
  Names all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  std::erase_if(all, [&](const std::string& name) { return ignored.contains(name); });
  return all;
}

std::vector<std::string> attributes_of(const h5::File& file, const std::string& group) {
  return file.has(group) ? file.attribute_names(group) : std::vector<std::string>();
}

void compare_attributes(const h5::File& a, const h5::File& b, const Names& ignored, std::vector<std::string>& lines) {
  for (const std::string& group : joined(groups(a), groups(b), ignored)) {
    for (const std::string& name : joined(attributes_of(a, group), attributes_of(b, group), ignored)) {
      if (name == "deck") continue;
      const auto text = [&](const h5::File& file) {
        return file.has_attribute(group, name) ? file.attribute_as_text(group, name) : none;
      };
      const std::string before = text(a), after = text(b), full = group == "/" ? name : group + " " + name;
      if (before == after) continue;
      const bool lines_of_text = (before + after).find('\n') != std::string::npos;
      lines.push_back(lines_of_text || name == "table" ? "attribute " + full + ": another text"
                                                       : line("attribute", full, before, after));
    }
  }
}

// {"section.key": value} of a resolved deck.
std::map<std::string, std::string> deck_values(const h5::File& file) {
  std::map<std::string, std::string> values;
  std::istringstream deck(file.has_attribute("/", "deck") ? file.text_attribute("/", "deck") : "");
  std::string section;
  for (std::string row; std::getline(deck, row);) {
    const size_t equals = row.find('=');
    if (row.starts_with('[')) {
      section = row.substr(1, row.find(']') - 1);
    } else if (equals != std::string::npos) {
      const std::string key = row.substr(0, row.find_last_not_of(' ', equals - 1) + 1);
      values[section + "." + key] = row.substr(std::min(row.size(), equals + 2));
    }
  }
  return values;
}

void compare_decks(const h5::File& a, const h5::File& b, const Names& ignored, std::vector<std::string>& lines) {
  const auto before = deck_values(a), after = deck_values(b);
  std::map<std::string, std::string> all(before);
  all.insert(after.begin(), after.end());
  for (const auto& [key, value] : all) {
    const auto x = before.find(key), y = after.find(key);
    const std::string old_value = x == before.end() ? none : x->second, new_value = y == after.end() ? none : y->second;
    if (old_value != new_value && !ignored.contains(key)) lines.push_back(line("deck", key, old_value, new_value));
  }
}

template <class T>
bool same(T x, T y) {
  return std::memcmp(&x, &y, sizeof(T)) == 0;  // so that NaN equals itself
}

template <class T>
double distance(T x, T y) {
  const double difference = std::abs(static_cast<double>(x) - static_cast<double>(y));
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

template <class T>
std::string shown(T value) {
  std::ostringstream text;
  text.precision(std::is_floating_point_v<T> ? std::numeric_limits<T>::max_digits10 : 0);
  text << (sizeof(T) == 1 ? static_cast<double>(value) : value);
  return text.str();
}

// Value i of an array of a parameter set is in which tensor; "" where the set has no table or it does not say.
std::string tensor_of(const h5::File& file, const std::string& path, int64_t i) {
  const std::string group = path.substr(0, path.rfind('/'));
  if (!file.has_attribute(group, "table")) return "";
  std::string name;
  for (const auto& row : parse_json(file.text_attribute(group, "table"), group)) {
    if (row.value("offset", int64_t{0}) > i) break;
    name = row.value("name", "") + "[" + std::to_string(i - row.value("offset", int64_t{0})) + "]";
  }
  return name;
}

template <class T>
void compare_values(const h5::File& a, const h5::File& b, const std::string& path, std::vector<std::string>& lines) {
  const auto x = a.read<T>(path), y = b.read<T>(path);
  if (x.size() != y.size()) {
    lines.push_back("dataset " + path + ": " + std::to_string(x.size()) + " -> " + std::to_string(y.size()) +
                    " values");
    return;
  }
  int64_t different = 0, where = -1;
  for (size_t i = 0; i < x.size(); ++i) {
    if (same(x[i], y[i])) continue;
    ++different;
    const auto w = static_cast<size_t>(where);
    if (where < 0 || distance(x[i], y[i]) > distance(x[w], y[w])) where = static_cast<int64_t>(i);
  }
  if (different == 0) return;
  const auto w = static_cast<size_t>(where);
  const std::string tensor = tensor_of(a, path, where);
  lines.push_back("dataset " + path + ": " + std::to_string(different) + " of " + std::to_string(x.size()) +
                  " values differ, at most by " + shown(distance(x[w], y[w])) + ", at " + std::to_string(where) +
                  (tensor.empty() ? "" : " = " + tensor) + ": " + shown(x[w]) + " -> " + shown(y[w]));
}

void compare_datasets(const h5::File& a, const h5::File& b, const Names& ignored, std::vector<std::string>& lines) {
  for (const std::string& path : joined(datasets(a), datasets(b), ignored)) {
    const bool in_a = a.has(path), in_b = b.has(path);
    if (in_a != in_b) {
      lines.push_back("dataset " + path + ": only in the " + (in_a ? "first" : "second"));
    } else if (a.type_name(path) != b.type_name(path)) {
      lines.push_back(line("dataset", path, a.type_name(path), b.type_name(path)));
    } else if (!of_records(a, path) || !of_records(b, path)) {
      with_values(a, path, [&]<class T>(const std::vector<T>&) { compare_values<T>(a, b, path, lines); });
    }
  }
}

}  // namespace

std::vector<std::string> differences(const h5::File& a, const h5::File& b, const Names& ignored) {
  std::vector<std::string> lines;
  compare_attributes(a, b, ignored, lines);
  compare_decks(a, b, ignored, lines);
  compare_datasets(a, b, ignored, lines);
  const auto records = record_differences(a, b);
  lines.insert(lines.end(), records.begin(), records.end());
  return lines;
}

}  // namespace tightrope::inspect
