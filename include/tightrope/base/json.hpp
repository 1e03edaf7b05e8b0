#pragma once
// JSON from files that nobody has checked, with nlohmann-json.  Stricter than its parser: a name that occurs twice in
// an object is an error (which of the two is meant would be a guess), and so is nesting deeper than 64.
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace tightrope {

// Any bytes may be given.  Throws Failure "'FILE' is not JSON (why, at byte N)".
nlohmann::json parse_json(std::string_view text, const std::string& file);

// A value as a message shows it: JSON, at most 60 characters.
std::string short_text(const nlohmann::json& value);

}  // namespace tightrope
