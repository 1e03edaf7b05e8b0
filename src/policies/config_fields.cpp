#include "config_fields.hpp"

#include <sstream>

#include "tightrope/base/check.hpp"
#include "tightrope/base/json.hpp"

namespace tightrope {
namespace {

using nlohmann::json;

constexpr const char* advice = "choose a model that this program supports";

std::string limits_text(Limits limits) {
  std::ostringstream text;
  text.precision(12);
  text << "between " << limits.least << " and " << limits.most;
  return text.str();
}

}  // namespace

ConfigFields::ConfigFields(json object, std::string file, std::string prefix)
    : object_(std::move(object)), file_(std::move(file)), prefix_(std::move(prefix)) {
  VALIDATE(object_.is_object(), "'" + file_ + "' is no configuration",
           (prefix_.empty() ? "it" : prefix_.substr(0, prefix_.size() - 1)) + " is not a JSON object",
           "get the file again from where it came");
}

const json& ConfigFields::value(const std::string& name) const {
  static const json null;
  const auto found = object_.find(name);
  return found == object_.end() ? null : *found;
}

bool ConfigFields::has(const std::string& name) const { return !value(name).is_null(); }

void ConfigFields::refuse(const std::string& name, const std::string& why) const {
  throw Failure(prefix_ + name + " = " + short_text(value(name)) + " in '" + file_ + "' is not supported", why, advice);
}

void ConfigFields::require(const std::string& name) const {
  VALIDATE(has(name), prefix_ + name + " is missing in '" + file_ + "'", "the model's shape depends on it",
           "get the file again from where it came");
}

int64_t ConfigFields::as_integer(const json& number, const std::string& name, Limits limits) const {
  const bool good =
      number.is_number_integer() && number.get<double>() >= limits.least && number.get<double>() <= limits.most;
  if (!good) refuse(name, "it must be a whole number " + limits_text(limits));
  return number.get<int64_t>();
}

int64_t ConfigFields::integer(const std::string& name, Limits limits) const {
  require(name);
  return as_integer(value(name), name, limits);
}

int64_t ConfigFields::integer(const std::string& name, Limits limits, int64_t absent) const {
  return has(name) ? as_integer(value(name), name, limits) : absent;
}

double ConfigFields::real(const std::string& name, Limits limits) const {
  require(name);
  const json& number = value(name);
  const bool good = number.is_number() && number.get<double>() >= limits.least && number.get<double>() <= limits.most;
  if (!good) refuse(name, "it must be a number " + limits_text(limits));
  return number.get<double>();
}

double ConfigFields::real(const std::string& name, Limits limits, double absent) const {
  return has(name) ? real(name, limits) : absent;
}

bool ConfigFields::flag(const std::string& name, bool absent) const {
  if (!has(name)) return absent;
  if (!value(name).is_boolean()) refuse(name, "it must be true or false");
  return value(name).get<bool>();
}

std::string ConfigFields::text(const std::string& name, const std::string& absent) const {
  if (!has(name)) return absent;
  if (!value(name).is_string()) refuse(name, "it must be a text");
  return value(name).get<std::string>();
}

std::vector<std::string> ConfigFields::texts(const std::string& name) const {
  std::vector<std::string> list;
  if (!has(name)) return list;
  if (!value(name).is_array()) refuse(name, "it must be a list of texts");
  for (const json& item : value(name)) {
    if (!item.is_string()) refuse(name, "it must be a list of texts");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<int64_t> ConfigFields::integers(const std::string& name, Limits limits) const {
  if (!has(name)) return {};
  if (!value(name).is_array()) return {as_integer(value(name), name, limits)};
  std::vector<int64_t> list;
  for (const json& item : value(name)) list.push_back(as_integer(item, name, limits));
  return list;
}

ConfigFields ConfigFields::object(const std::string& name) const {
  return {has(name) ? value(name) : json::object(), file_, prefix_ + name + "."};
}

void ConfigFields::must_be(const std::string& name, const json& only) const {
  if (has(name) && value(name) != only) refuse(name, "only " + short_text(only) + " is");
}

void ConfigFields::must_be_absent(const std::string& name) const {
  if (has(name)) refuse(name, "it must be absent");
}

}  // namespace tightrope
