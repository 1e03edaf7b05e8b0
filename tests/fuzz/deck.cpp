// A deck and its overrides, separated by bytes 0xFF: it resolves, or every problem is one line that can be shown.
#include "tightrope/core/deck.hpp"

#include <algorithm>

#include "fuzz.hpp"
#include "tightrope/learn/replay_index.hpp"

namespace tightrope {
namespace {

// One field of every kind.
struct KindsDeck {
  static constexpr const char* section = "kinds";
  int64_t count = 3, bytes = 1 << 20;
  double real = 0.5, seconds = 90;
  bool flag = true;
  std::string text = "words", choice = "one";
  void fields(FieldList& f) {
    f.count("count", count, {1, 1e9}, "things", "a count");
    f.bytes("bytes", bytes, {0, 1e15}, "a size");
    f.real("real", real, {-1e300, 1e300}, "nats", "a real");
    f.seconds("seconds", seconds, {0, 1e9}, "a time");
    f.flag("flag", flag, "a flag");
    f.text("text", text, "a text");
    f.choice("choice", choice, {"one", "two", "three"}, "a choice");
  }
};

const Schema& schema() {
  static const Schema made = Schema()
                                 .add<KindsDeck>("every kind")
                                 .add<ReplayDeck>("the replay buffer")
                                 .alias("other", "other names", {{"number", "kinds.count"}, {"m", "replay.bytes"}});
  return made;
}

bool shows(const std::string& line) {
  return !line.empty() && std::ranges::none_of(line, [](char c) { return c == '\n' || c == '\r' || c == '\0'; });
}

}  // namespace
}  // namespace tightrope

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tightrope;
  std::vector<std::string> parts = {""};
  for (const char c : fuzz::text_of(data, size)) {
    if (c == '\xFF') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  try {
    const Deck deck(schema(), parts[0], "deck.ini", {parts.begin() + 1, parts.end()});
    for (const std::string& printed : {deck.print(), deck.resolved()}) {
      fuzz::require(Deck(schema(), printed, "printed.ini", {}).hash() == deck.hash());
    }
  } catch (const DeckError& error) {
    fuzz::require(!error.problems().empty() && std::ranges::all_of(error.problems(), shows));
  }
  return 0;
}
