// Runs a tokenizer over standard input for tokenizer_interop.py.
//   tokenize_tool TOKENIZER.json < LINES      prints one line of JSON for each
// A line with a text "..." is encoded: {"ids", "ids_special", "text", "text_special"}, ids_special with the template's
// tokens, the texts decoded from ids_special without and with special tokens.  A line with ids [...] is decoded only.
// With TOKENIZER.json FILE: how fast it loads and encodes FILE.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tightrope/tasks/tokenizer.hpp"

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void time_file(const char* tokenizer_file, const char* text_file) {
  std::ostringstream text;
  text << std::ifstream(text_file, std::ios::binary).rdbuf();
  const double start = seconds();
  const tightrope::Tokenizer tokenizer(tokenizer_file);
  const double loaded = seconds();
  const auto ids = tokenizer.encode(text.str());
  const double encoded = seconds();
  const auto back = tokenizer.decode(ids, false);
  const double decoded = seconds();
  const double megabytes = static_cast<double>(text.str().size()) / 1e6;
  std::printf("load %.3f s; encode %.1f MB/s, %zu tokens; decode %.1f MB/s; %s\n", loaded - start,
              megabytes / (encoded - loaded), ids.size(), megabytes / (decoded - encoded),
              back == text.str() ? "equal" : "not equal");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) {
    time_file(argv[1], argv[2]);
    return 0;
  }
  if (argc != 2) {
    std::cerr << "usage: tokenize_tool TOKENIZER.json [FILE]\n";
    return 2;
  }
  const tightrope::Tokenizer tokenizer(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const auto input = nlohmann::json::parse(line);
    nlohmann::json output;
    std::vector<int32_t> ids;
    if (input.is_string()) {
      output["ids"] = tokenizer.encode(input.get<std::string>());
      output["ids_special"] = ids = tokenizer.encode(input.get<std::string>(), true);
    } else {
      ids = input.get<std::vector<int32_t>>();
    }
    output["text"] = tokenizer.decode(ids);
    output["text_special"] = tokenizer.decode(ids, false);
    std::cout << output.dump() << '\n';
  }
  return 0;
}
