#pragma once
// ConfigFields: the fields of a config.json by name.  Every function throws Failure that names field, value and file.
// A field that is null counts as absent, as in transformers.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tightrope {

struct Limits {
  double least, most;
};

class ConfigFields {
 public:
  ConfigFields(nlohmann::json object, std::string file, std::string prefix = "");  // prefix: of names in messages

  const std::string& file() const { return file_; }
  bool has(const std::string& name) const;

  int64_t integer(const std::string& name, Limits limits) const;
  int64_t integer(const std::string& name, Limits limits, int64_t absent) const;
  double real(const std::string& name, Limits limits) const;  // the limits belong to it
  double real(const std::string& name, Limits limits, double absent) const;
  bool flag(const std::string& name, bool absent) const;
  std::string text(const std::string& name, const std::string& absent) const;
  std::vector<std::string> texts(const std::string& name) const;                // [] where absent
  std::vector<int64_t> integers(const std::string& name, Limits limits) const;  // one or a list; [] where absent
  ConfigFields object(const std::string& name) const;                           // {} where absent

  // Absent or equal to `value`; anything else is not supported.
  void must_be(const std::string& name, const nlohmann::json& value) const;
  void must_be_absent(const std::string& name) const;

  [[noreturn]] void refuse(const std::string& name, const std::string& why) const;

 private:
  const nlohmann::json& value(const std::string& name) const;  // null where absent
  void require(const std::string& name) const;
  int64_t as_integer(const nlohmann::json& value, const std::string& name, Limits limits) const;

  nlohmann::json object_;
  std::string file_, prefix_;
};

}  // namespace tightrope
