// Reading.  Writing: model_folder_write.cpp.
#include "tightrope/policies/model_folder.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tightrope/base/check.hpp"
#include "tightrope/base/json.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

bool there(const std::string& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

// The shards that an index names, each once.
std::set<std::string> shards_of(const std::string& path) {
  const nlohmann::json index = parse_json(read_text_file(path), path);
  const bool good = index.is_object() && index.contains("weight_map") && index["weight_map"].is_object();
  VALIDATE(good, "'" + path + "' is no index", "it has no weight_map", "get the file again from where it came");
  std::set<std::string> names;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    const bool plain = !name.empty() && fs::path(name).filename() == name && name != "." && name != "..";
    VALIDATE(plain, "'" + path + "' is no index", "it places " + tensor + " in " + short_text(file),
             "every file must lie in the folder itself");
    names.insert(name);
  }
  return names;
}

std::vector<SafetensorsFile> open_files(const std::string& folder) {
  std::vector<SafetensorsFile> files;
  if (there(folder + "/" + single_name)) {
    files.emplace_back(folder + "/" + single_name);
    return files;
  }
  VALIDATE(there(folder + "/" + index_name), "'" + folder + "' holds no weights",
           std::string("neither ") + single_name + " nor " + index_name, "convert the model to safetensors");
  std::string missing;
  const std::set<std::string> names = shards_of(folder + "/" + index_name);
  for (const std::string& name : names)
    if (!there(folder + "/" + name)) missing += (missing.empty() ? "" : ", ") + name;
  VALIDATE(missing.empty(), "'" + folder + "' is not complete", std::string(index_name) + " names " + missing,
           "get the missing files");
  for (const std::string& name : names) files.emplace_back(folder + "/" + name);
  return files;
}

bool is_harmless(const std::string& name, const DecoderConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight");
}

// "what: a, b, c and 5 more; " or nothing.
std::string listed(const std::string& what, const std::vector<std::string>& names) {
  constexpr size_t most = 8;
  if (names.empty()) return "";
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return what + ": " + text + "; ";
}

int64_t values_in(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

}  // namespace

ModelFolder::ModelFolder(const std::string& folder)
    : folder_(folder),
      config_(read_decoder_config(folder)),
      parameters_(decoder_parameters(config_)),
      files_(open_files(folder)) {
  std::vector<std::string> repeated;
  locate(repeated);
  check(repeated);
  for (const TensorShape& parameter : parameters_) {
    count_ += values_in(parameter.shape);
    bytes_ += static_cast<int64_t>(tensor(parameter.name).bytes.size());
  }
}

void ModelFolder::locate(std::vector<std::string>& repeated) {
  for (size_t file = 0; file < files_.size(); ++file)
    for (const SafetensorsTensor& tensor : files_[file].tensors())
      if (!located_.emplace(tensor.name, Location{file, &tensor}).second) repeated.push_back(tensor.name);
}

void ModelFolder::check(const std::vector<std::string>& repeated) {
  std::vector<std::string> missing, extra, misshaped;
  std::set<std::string> expected;
  for (const auto& [name, shape] : parameters_) {
    expected.insert(name);
    const auto found = located_.find(name);
    if (found == located_.end()) {
      missing.push_back(name);
    } else if (found->second.tensor->shape != shape) {
      misshaped.push_back(name + " is " + shape_text(found->second.tensor->shape) + " instead of " + shape_text(shape));
    }
  }
  for (const auto& [name, location] : located_)
    if (!expected.contains(name) && !is_harmless(name, config_)) extra.push_back(name);
  std::string why = listed("missing", missing) + listed("not expected", extra) + listed("of another shape", misshaped) +
                    listed("in two files", repeated);
  if (why.empty()) return;
  why.resize(why.size() - 2);
  throw Failure("the weights in '" + folder_ + "' are not those of its config.json", why,
                "get the model again from where it came");
}

void ModelFolder::load(std::span<float> flat) const {
  EXPECT(flat.size() == static_cast<size_t>(count_));
  for (const TensorShape& parameter : parameters_) {
    const StoredTensor stored = tensor(parameter.name);
    const std::span<float> values = flat.first(static_cast<size_t>(values_in(parameter.shape)));
    to_float32(stored.bytes, stored.dtype, values);
    check_finite(values, parameter.name);
    flat = flat.subspan(values.size());
  }
}

void ModelFolder::check_values() const {
  std::vector<float> piece(1 << 16);
  for (const TensorShape& parameter : parameters_) {
    const StoredTensor stored = tensor(parameter.name);
    const auto bytes_each = static_cast<size_t>(dtype_bytes(stored.dtype));
    for (size_t at = 0; at < stored.bytes.size();) {
      const size_t count = std::min(piece.size(), (stored.bytes.size() - at) / bytes_each);
      const std::span<float> values = std::span(piece).first(count);
      to_float32(stored.bytes.subspan(at, count * bytes_each), stored.dtype, values);
      check_finite(values, parameter.name);
      at += count * bytes_each;
    }
  }
}

void ModelFolder::check_finite(std::span<const float> values, const std::string& name) const {
  VALIDATE(all_finite(values), "tensor '" + name + "' of '" + folder_ + "' cannot be used",
           "it holds a NaN or an infinity", "get the model again from where it came");
}

StoredTensor ModelFolder::tensor(const std::string& name) const {
  const Location& location = located_.at(name);
  return {location.tensor->dtype, location.tensor->shape, files_[location.file].bytes(*location.tensor)};
}

std::optional<std::span<const float>> ModelFolder::mapped(const std::string& name) const {
  const StoredTensor stored = tensor(name);
  const bool aligned = reinterpret_cast<std::uintptr_t>(stored.bytes.data()) % alignof(float) == 0;
  if (stored.dtype != Dtype::float32 || !aligned) return {};
  return std::span(reinterpret_cast<const float*>(stored.bytes.data()), stored.bytes.size() / sizeof(float));
}

}  // namespace tightrope
