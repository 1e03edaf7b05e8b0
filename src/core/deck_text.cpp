#include "deck_text.hpp"

#include <algorithm>
#include <map>

#include "tightrope/core/deck.hpp"

namespace tightrope {
namespace {

// Optimal string alignment: insert, delete, replace, swap neighbours; each substring is edited once.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// "key" of "section.key".
std::string tail(const std::string& full) { return full.substr(full.rfind('.') + 1); }

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& names) {
  constexpr size_t longest = 100;  // beyond it nothing is a slip of the keyboard
  if (word.size() > longest) return "";
  // A third of the key may be wrong; a shared section says nothing about how near two keys are.
  size_t limit = std::clamp<size_t>(tail(word).size() / 3, 1, 4) + 1;
  std::string best;
  for (const auto& name : names) {
    const size_t distance = edit_distance(word, name);
    if (distance >= limit || distance >= name.size()) continue;
    limit = distance;
    best = name;
  }
  return best;
}

namespace deck_text {
namespace {

constexpr const char* blanks = " \t\r\n\v\f";

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string did_you_mean(const std::string& name) { return "; did you mean " + quoted(name) + "?"; }

std::string unknown_key(const std::string& full, const std::string& key, const Names& names) {
  const std::string problem = "unknown key " + quoted(full);
  if (const auto near = nearest(full, names.keys); !near.empty()) return problem + did_you_mean(near);
  if (!key.empty() && contains(names.keys, key)) return problem + did_you_mean(key);
  for (const auto& name : names.keys) {
    const bool begins = !tail(full).empty() && full != tail(full) && name.starts_with(full);
    if (begins) return problem + " (abbreviations are refused)" + did_you_mean(name);
  }
  for (const auto& name : names.keys) {
    if (tail(name) == tail(full)) return problem + did_you_mean(name);
  }
  return problem + " (no key is near it) see --help for all keys";
}

std::string unknown_section(const std::string& section, const Names& names) {
  const std::string problem = "unknown section " + quoted(section);
  if (const auto near = nearest(section, names.sections); !near.empty()) return problem + did_you_mean(near);
  return problem + " (no section is near it) see --help for all sections";
}

std::string repeated_key(const std::string& full, const std::string& first) {
  return "repeated key " + quoted(full) + " (first " + first + ") keep one of them";
}

std::string without_comment(const std::string& line) {
  for (size_t at = line.find('#'); at != std::string::npos; at = line.find('#', at + 1)) {
    if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') return line.substr(0, at);
  }
  return line;
}

// Reads one deck line by line; what it keeps between lines is the section and the place of each key.
class FileReader {
 public:
  FileReader(const std::string& file, const Names& names) : file_(shown(file)), names_(names) {}

  void read(const std::string& raw) {
    ++number_;
    const std::string line = trimmed(without_comment(raw));
    if (line.empty()) return;
    if (line.front() == '[') {
      open_section(line);
    } else {
      assign(line);
    }
  }

  std::vector<Line> take() { return std::move(lines_); }

  void report(const std::string& problem) { lines_.push_back({place(), place(), "", "", problem}); }

 private:
  enum class Place { outside, known, unknown };

  std::string place() const { return file_ + ":" + std::to_string(number_); }

  void open_section(const std::string& line) {
    section_ = trimmed(line.substr(1, line.size() - 2));
    state_ = Place::unknown;
    if (line.size() < 2 || line.back() != ']') {
      report(quoted(line) + " is not a section (no ']' at its end) write [section]");
    } else if (!contains(names_.sections, section_)) {
      report(unknown_section(section_, names_));
    } else {
      state_ = Place::known;
    }
  }

  void assign(const std::string& line) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) {
      return report(quoted(line) + " is not an assignment (the line has no '=') write key = value");
    }
    const std::string key = trimmed(line.substr(0, equals));
    if (key.empty()) return report(quoted(line) + " has no key (nothing before '=') write key = value");
    if (state_ == Place::outside) return outside(key);
    if (state_ == Place::unknown) return;
    const std::string full = section_ + "." + key;
    if (!contains(names_.keys, full)) return report(unknown_key(full, key, names_));
    const std::string& sets = names_.canonical(full);
    const auto [first, fresh] = places_.emplace(sets, place());
    if (!fresh) return report(repeated_key(full, "at " + first->second));
    lines_.push_back({place(), place(), sets, trimmed(line.substr(equals + 1)), ""});
  }

  void outside(const std::string& key) {
    const auto same = std::find_if(names_.keys.begin(), names_.keys.end(),
                                   [&](const std::string& name) { return name == key || tail(name) == key; });
    std::string where = "its [section]";
    if (same != names_.keys.end()) where = std::string("[").append(*same, 0, same->find('.')) + "]";
    report("key " + quoted(key) + " is outside a section (every key belongs to one) put it under " + where);
  }

  std::string file_;
  const Names& names_;
  size_t number_ = 0;
  std::string section_;
  Place state_ = Place::outside;
  std::map<std::string, std::string> places_;  // full name -> "file:line" of its assignment
  std::vector<Line> lines_;
};

Line read_override(const std::string& argument, const Names& names, std::map<std::string, std::string>& first) {
  const size_t equals = argument.find('=');
  const std::string flag = trimmed(argument.substr(0, equals));
  Line line{shown(flag), "command line", "", "", ""};
  if (!flag.starts_with("--") || flag.size() == 2) {
    line.where = quoted(argument);
    line.problem = "not an override (overrides begin with two dashes) write --section.key=value";
    return line;
  }
  const std::string full = flag.substr(2);
  if (!contains(names.keys, full)) {
    line.problem = unknown_key(full, "", names);
  } else if (equals == std::string::npos) {
    line.problem = "no value was given (overrides are --section.key=value) write " + flag + "=value";
  } else if (const auto [place, fresh] = first.emplace(names.canonical(full), shown(argument)); !fresh) {
    line.problem = repeated_key(full, "as " + place->second);
  } else {
    line.key = names.canonical(full);
    line.value = trimmed(argument.substr(equals + 1));
  }
  return line;
}

}  // namespace

std::vector<Line> read_file(const std::string& text, const std::string& file, const Names& names) {
  FileReader reader(file, names);
  if (text.find('\0') != std::string::npos) {
    const std::string why = "it holds a zero byte";
    return {{shown(file), shown(file), "", "", "not a text file (" + why + ") give a deck in INI form"}};
  }
  const bool marked = text.starts_with("\xEF\xBB\xBF");  // a UTF-8 byte order mark
  for (size_t begin = marked ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    reader.read(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return reader.take();
}

std::vector<Line> read_overrides(const std::vector<std::string>& overrides, const Names& names) {
  std::vector<Line> lines;
  std::map<std::string, std::string> first;  // full name -> the override that gave it
  for (const auto& argument : overrides) lines.push_back(read_override(argument, names, first));
  return lines;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_control(char c) { return c != '\t' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f); }

std::string shown(const std::string& text) {
  constexpr size_t longest = 80;
  size_t cut = std::min(text.size(), longest);
  while (cut < text.size() && cut > 0 && (text[cut] & 0xC0) == 0x80) --cut;  // not inside a UTF-8 character
  std::string out = text.substr(0, cut);
  std::replace_if(out.begin(), out.end(), is_control, '?');
  return cut < text.size() ? out + "..." : out;
}

std::string quoted(const std::string& text) {
  std::string out(1, '\'');
  out += shown(text);
  return out += '\'';
}

}  // namespace deck_text
}  // namespace tightrope
