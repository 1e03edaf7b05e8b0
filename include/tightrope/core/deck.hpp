#pragma once
// Deck: an input deck (INI) and a command line, resolved into typed sections.
// A section is a struct that lists each of its fields once; from that list come parsing, ranges, --help,
// --print-deck, docs/deck.md and the hash.  Command line wins over file, file over default.
// Pure: no files, no MPI.  All problems are collected and reported together.
//
//   struct TrainerDeck {
//     static constexpr const char* section = "trainer";
//     double learning_rate = 1e-3;
//     int64_t batch = 16;
//     void fields(FieldList& f) {
//       f.real("learning_rate", learning_rate, {0, 10}, "per step", "Adam's step size for the network");
//       f.count("batch", batch, {1, 1e9}, "trajectories", "trajectories per update, over all trainers");
//     }
//   };
#include <any>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeindex>
#include <variant>
#include <vector>

namespace tightrope {

struct Range {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
};

// How the text of a value is read: count "1e6", bytes "512MiB", seconds "90s" "3h50m" "250ms",
// flag yes|no|true|false|on|off|1|0.  A text is the rest of the line; only a text may be empty.
enum class Kind { count, real, bytes, seconds, flag, text, choice };

struct Field {
  std::string name;  // without the section
  Kind kind = Kind::text;
  std::variant<int64_t*, double*, bool*, std::string*> target;
  Range range;
  std::vector<std::string> choices;  // Kind::choice
  std::string unit, help;
};

class FieldList {
 public:
  void count(const std::string& name, int64_t& value, Range, const std::string& unit, const std::string& help);
  void real(const std::string& name, double& value, Range, const std::string& unit, const std::string& help);
  void bytes(const std::string& name, int64_t& value, Range, const std::string& help);
  void seconds(const std::string& name, double& value, Range, const std::string& help);
  void flag(const std::string& name, bool& value, const std::string& help);
  void text(const std::string& name, std::string& value, const std::string& help);
  void choice(const std::string& name, std::string& value, std::vector<std::string> choices, const std::string& help);

  const std::vector<Field>& fields() const { return fields_; }

 private:
  std::vector<Field> fields_;
};

// Every section that a program knows, in the order in which help lists them.
class Schema {
 public:
  template <class S>
  Schema& add(const std::string& help) {
    entries_.push_back({S::section, help, std::type_index(typeid(S)), [](std::any& holder) {
                          holder = std::make_shared<S>();
                          FieldList list;
                          (*std::any_cast<std::shared_ptr<S>&>(holder)).fields(list);
                          return list;
                        }});
    return *this;
  }

  // Another spelling of keys that exist: a section whose keys set others'.  Only the named key is printed and hashed;
  // giving both is a repeated key.
  struct Alias {
    std::string name;  // without the section
    std::string key;   // "section.key" that it sets
  };
  Schema& alias(const std::string& section, const std::string& help, std::vector<Alias> keys) {
    aliases_.push_back({section, help, std::move(keys)});
    return *this;
  }

 private:
  friend class Deck;
  struct AliasSection {
    std::string name, help;
    std::vector<Alias> keys;
  };
  struct Entry {
    std::string name, help;
    std::type_index type;
    std::function<FieldList(std::any&)> make;
  };
  std::vector<Entry> entries_;
  std::vector<AliasSection> aliases_;
};

// Several problems of one deck, one per line, each "file:line: problem" or "--section.key: problem".
class DeckError : public std::runtime_error {
 public:
  explicit DeckError(std::vector<std::string> problems);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

class Deck {
 public:
  // `text` is the deck's content, `file` its name in messages; overrides are "--section.key=value" arguments.
  // Throws DeckError with every unknown, repeated, abbreviated, malformed or out-of-range key: the file's in its
  // order, then the command line's.  Throws std::logic_error where the schema breaks its own rules (a key listed
  // twice, a default out of its range).
  Deck(const Schema& schema, const std::string& text, const std::string& file,
       const std::vector<std::string>& overrides);

  // The section of type S; it must be in the schema.
  template <class S>
  const S& get() const {
    return *std::any_cast<const std::shared_ptr<S>&>(holder(typeid(S)));
  }

  // "file:line", "command line" or "default": where a key's value came from; for messages about combinations.
  std::string origin(const std::string& key) const;
  bool given(const std::string& key) const;

  std::string print() const;     // a deck that resolves to this one, with each key's origin
  std::string resolved() const;  // the same without origins: what the hash and every output holds
  uint64_t hash() const;         // of resolved()

  static std::string help(const Schema& schema);      // for the terminal
  static std::string markdown(const Schema& schema);  // docs/deck.md

 private:
  struct Section {
    std::string name, help;
    std::any holder;
    std::vector<Field> fields;  // their targets live in holder; copies of a deck share it and never change it
  };
  static std::vector<Section> open(const Schema& schema);  // every field at its default
  const std::any& holder(std::type_index type) const;
  std::vector<Section> sections_;
  std::map<std::type_index, size_t> by_type_;
  std::map<std::string, std::string> origin_;
};

// The nearest of `names` for a did-you-mean, or "" where none is near (Damerau-Levenshtein).
std::string nearest(const std::string& word, const std::vector<std::string>& names);

}  // namespace tightrope
