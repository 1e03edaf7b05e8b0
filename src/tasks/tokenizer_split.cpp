#include "tokenizer_split.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tightrope/base/check.hpp"
#include "tokenizer_regex.hpp"

namespace tightrope::tokenizing {

namespace {

using Step = std::function<void(Pieces&)>;

struct Cut {  // a part of a piece, between delimiters or one of them
  Range range;
  bool delimiter = false;
};

// What becomes of the delimiters: cuts of one piece to pieces.
using Behavior = void (*)(const std::vector<Cut>& cuts, std::vector<Range>& pieces);

void isolated(const std::vector<Cut>& cuts, std::vector<Range>& pieces) {
  for (const Cut& cut : cuts) pieces.push_back(cut.range);
}

void removed(const std::vector<Cut>& cuts, std::vector<Range>& pieces) {
  for (const Cut& cut : cuts)
    if (!cut.delimiter) pieces.push_back(cut.range);
}

// Neighbouring delimiters are one piece.
void contiguous(const std::vector<Cut>& cuts, std::vector<Range>& pieces) {
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (i > 0 && cuts[i].delimiter == cuts[i - 1].delimiter)
      pieces.back().end = cuts[i].range.end;
    else
      pieces.push_back(cuts[i].range);
  }
}

// The first of neighbouring delimiters joins what is before it; each further one is alone.
void merged_with_previous(const std::vector<Cut>& cuts, std::vector<Range>& pieces) {
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (i > 0 && cuts[i].delimiter && !cuts[i - 1].delimiter)
      pieces.back().end = cuts[i].range.end;
    else
      pieces.push_back(cuts[i].range);
  }
}

void merged_with_next(const std::vector<Cut>& cuts, std::vector<Range>& pieces) {
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (i > 0 && cuts[i - 1].delimiter && !cuts[i].delimiter)
      pieces.back().end = cuts[i].range.end;
    else
      pieces.push_back(cuts[i].range);
  }
}

constexpr std::array<std::pair<std::string_view, Behavior>, 5> behaviors = {
    {{"Isolated", isolated},
     {"Removed", removed},
     {"Contiguous", contiguous},
     {"MergedWithPrevious", merged_with_previous},
     {"MergedWithNext", merged_with_next}}};

// `next(subject, from, match)`: the first delimiter at or after subject[from].
template <class Next>
void split(Pieces& pieces, std::string_view subject, const Next& next, Behavior behavior, bool invert) {
  std::vector<Range> result;
  result.reserve(2 * pieces.ranges.size());
  std::vector<Cut> cuts;
  for (const Range piece : pieces.ranges) {
    const std::string_view inside = subject.substr(piece.begin, piece.end - piece.begin);  // ends where the piece does
    cuts.clear();
    size_t done = 0;
    const auto cut = [&](size_t end, bool delimiter) {
      if (done < end) cuts.push_back({{piece.begin + done, piece.begin + end}, delimiter != invert});
      done = end;
    };
    for (Range match; done < inside.size() && next(inside, done, match);) {
      cut(match.begin, false);
      cut(match.end, true);
    }
    cut(inside.size(), false);
    behavior(cuts, result);
  }
  pieces.ranges = std::move(result);
}

Step split_at_pattern(const std::string& pattern, const std::string& where, Behavior behavior, bool invert) {
  return [regex = Regex(pattern, where), behavior, invert](Pieces& pieces) {
    const auto next = [&](std::string_view inside, size_t from, Range& match) {
      return regex.find(inside, from, match);
    };
    split(pieces, with_stand_ins(pieces.text), next, behavior, invert);
  };
}

Step split_at_text(const std::string& delimiter, Behavior behavior, bool invert) {
  return [delimiter, behavior, invert](Pieces& pieces) {
    const auto next = [&](std::string_view inside, size_t from, Range& match) {
      match.begin = inside.find(delimiter, from);
      match.end = match.begin + delimiter.size();
      return match.begin != std::string_view::npos;
    };
    split(pieces, pieces.text, next, behavior, invert);
  };
}

// Every piece becomes change(piece, whether it is the start of the whole input).
template <class Change>
void rewrite(Pieces& pieces, const Change& change) {
  std::string text;
  text.reserve(pieces.text.size() + 4 * pieces.ranges.size());
  const bool at_start = pieces.at_start && !pieces.ranges.empty() && pieces.ranges[0].begin == 0;
  for (Range& range : pieces.ranges) {
    const bool first = at_start && range.begin == 0 && text.empty();
    const size_t begin = text.size();
    text += change(std::string_view(pieces.text).substr(range.begin, range.end - range.begin), first);
    range = {begin, text.size()};
  }
  pieces.text = std::move(text);
  pieces.at_start = at_start;
}

Step metaspace(const Place& json) {
  const std::string mark = json["replacement"].text();
  VALIDATE(!mark.empty() && character_at(mark, 0).bytes == mark.size(),
           json["replacement"].where() + " is '" + mark + "'", "it must be one character", "correct it");
  const bool prefix = json["add_prefix_space"].flag(true);
  const Place given = json["prepend_scheme"];
  const std::string scheme = !prefix ? "never" : given.is_null() ? "always" : given.text();
  if (scheme != "always" && scheme != "first" && scheme != "never") given.refuse(scheme, "always, first, never");
  const Step marked = [mark, scheme](Pieces& pieces) {
    rewrite(pieces, [&](std::string_view piece, bool first) {
      std::string changed = replaced(piece, " ", mark);
      if (scheme != "never" && (scheme == "always" || first) && !changed.starts_with(mark)) changed.insert(0, mark);
      return changed;
    });
  };
  if (!json["split"].flag(true)) return marked;
  return [marked, cut = split_at_text(mark, merged_with_next, false)](Pieces& pieces) {
    marked(pieces);
    cut(pieces);
  };
}

Behavior behavior_of(const Place& json) {
  for (const auto& [name, behavior] : behaviors)
    if (json.text() == name) return behavior;
  json.refuse(json.text(), "Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext");
}

Step split_step(const Place& json) {
  const Behavior behavior = behavior_of(json["behavior"]);
  const bool invert = json["invert"].flag(false);
  const Place pattern = json["pattern"];
  if (!pattern["Regex"].is_null()) return split_at_pattern(pattern["Regex"].text(), pattern.where(), behavior, invert);
  const std::string& text = pattern["String"].text();
  VALIDATE(!text.empty(), pattern.where() + " is empty", "it would cut between all characters", "correct it");
  return split_at_text(text, behavior, invert);
}

void read_byte_level(const Place& json, std::vector<Step>& steps) {
  if (json["add_prefix_space"].flag(true))
    steps.push_back([](Pieces& pieces) {
      rewrite(pieces, [](std::string_view piece, bool) {
        return std::string(piece.starts_with(' ') ? 0 : 1, ' ').append(piece);
      });
    });
  // GPT-2's: contractions, then words, numbers and other signs with a space before each, then white space, whose last
  // space goes to the word that follows.
  if (json["use_regex"].flag(true))
    steps.push_back(split_at_pattern(R"('(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                                     json.where(), isolated, false));
}

}  // namespace

Splitter read_splitter(const Place& pre_tokenizer) {
  Splitter splitter;
  for (const Place& json : pre_tokenizer.sequence("pretokenizers")) {
    VALIDATE(!splitter.byte_level, json.where() + " follows a ByteLevel", "supported: ByteLevel as the last one",
             "use a model whose tokenizer needs no more");
    const std::string& type = json["type"].text();
    if (type == "ByteLevel") {
      read_byte_level(json, splitter.steps);
      splitter.byte_level = true;
    } else if (type == "Digits") {
      const bool each = json["individual_digits"].flag(false);
      splitter.steps.push_back(split_at_pattern(R"(\p{N})", json.where(), each ? isolated : contiguous, false));
    } else if (type == "Metaspace") {
      splitter.steps.push_back(metaspace(json));
    } else if (type == "Split") {
      splitter.steps.push_back(split_step(json));
    } else {
      json["type"].refuse(type, "ByteLevel, Digits, Metaspace, Split, and a Sequence of them");
    }
  }
  return splitter;
}

}  // namespace tightrope::tokenizing
