#include "tightrope/base/json.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using nlohmann::json;

// Walks over the text and keeps the first problem; builds nothing.  The member names are nlohmann's SAX interface.
struct Inspector : nlohmann::json_sax<json> {
  static constexpr size_t deepest = 64;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    return names.back().insert(name).second || stop("the name " + short_text(name) + " occurs twice in an object");
  }
  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    const std::string message = error.what();  // "[json.exception...] parse error at line 1, column 9: why"
    const size_t why = message.find(": ");
    return stop((why == std::string::npos ? message : message.substr(why + 2)) + ", at byte " +
                std::to_string(position));
  }

  bool enter() {
    names.emplace_back();
    return names.size() <= deepest || stop("it is nested deeper than " + std::to_string(deepest));
  }
  bool leave() {
    names.pop_back();
    return true;
  }
  bool stop(const std::string& why) {
    problem = why;
    return false;
  }

  std::vector<std::set<std::string>> names;  // of each open object; empty for an array
  std::string problem;
};

}  // namespace

json parse_json(std::string_view text, const std::string& file) {
  Inspector inspector;
  const bool good = json::sax_parse(text, &inspector);
  VALIDATE(good, "'" + file + "' is not JSON", inspector.problem, "get the file again from where it came");
  return json::parse(text, nullptr, false);
}

std::string short_text(const json& value) {
  constexpr size_t longest = 60;
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);  // ASCII: may be cut anywhere
  return text.size() <= longest ? text : text.substr(0, longest - 3) + "...";
}

}  // namespace tightrope
