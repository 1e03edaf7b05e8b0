#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"
#include "tightrope/base/new_file.hpp"
#include "tightrope/policies/model_folder.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

constexpr const char* advice = "check that the disk has room and that the folder is writable";

// What a tokenizer may consist of; the last three hold chat templates.
constexpr const char* tokenizer_names[] = {"tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "tokenizer.model",
                                           "vocab.json",
                                           "merges.txt",
                                           "chat_template.jinja",
                                           "chat_template.json",
                                           "additional_chat_templates"};

// A folder under another name, which is removed unless it gets its own.
class Draft {
 public:
  explicit Draft(const fs::path& folder) : folder_(folder), path_(folder) {
    path_ += ".tmp." + std::to_string(::getpid());
    std::error_code error;
    if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), error);
    if (!error) fs::create_directory(path_, error);
    VALIDATE(!error, "cannot make the folder '" + path_.string() + "'", error.message(), advice);
  }
  ~Draft() {
    std::error_code ignored;  // a destructor has nobody to tell
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  std::string file(const std::string& name) const { return (path_ / name).string(); }

  void publish() {
    std::error_code error;
    fs::rename(path_, folder_, error);
    VALIDATE(!error, "cannot rename '" + path_.string() + "' to '" + folder_.string() + "'", error.message(), advice);
    path_.clear();
    sync_to_disk(folder_.has_parent_path() ? folder_.parent_path().string() : ".");
  }

 private:
  fs::path folder_, path_;
};

// The token ids, as config.json has them.
std::string generation_config_json(const std::string& config_json) {
  const nlohmann::json config = nlohmann::json::parse(config_json);
  nlohmann::ordered_json text = nlohmann::ordered_json::object();
  for (const char* name : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (!config.at(name).is_null()) text[name] = config.at(name);
  return text.dump(2) + "\n";
}

std::vector<TensorToWrite> cut(const DecoderConfig& config, std::span<const float> flat) {
  std::vector<TensorToWrite> tensors;
  for (TensorShape& parameter : decoder_parameters(config)) {
    size_t count = 1;
    for (const int64_t size : parameter.shape) count *= static_cast<size_t>(size);
    EXPECT(count <= flat.size());
    const std::span<const float> values = flat.first(count);
    VALIDATE(all_finite(values), "the model is not exported", parameter.name + " holds a NaN or an infinity",
             "go back to an earlier checkpoint");
    tensors.push_back({std::move(parameter.name), std::move(parameter.shape), values});
    flat = flat.subspan(count);
  }
  EXPECT(flat.empty());
  return tensors;
}

void copy_tokenizer(const std::string& source, const Draft& draft) {
  for (const char* name : tokenizer_names) {
    const fs::path from = fs::path(source) / name;
    std::error_code error;
    if (!fs::exists(from, error)) continue;
    fs::copy(from, draft.file(name), fs::copy_options::recursive, error);
    VALIDATE(!error, "cannot copy '" + from.string() + "' to '" + draft.file(name) + "'", error.message(), advice);
    sync_to_disk(draft.file(name));
  }
}

}  // namespace

void write_model_folder(const std::string& folder, const DecoderConfig& config, std::span<const float> flat,
                        Dtype dtype, const std::string& source_folder) {
  fs::path target = fs::path(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "model/"
  std::error_code error;
  const bool vacant = !fs::exists(target, error) || (fs::is_directory(target, error) && fs::is_empty(target, error));
  VALIDATE(vacant, "the model is not exported to '" + folder + "'", "it is there and not an empty folder",
           "choose another folder or remove it");
  const std::vector<TensorToWrite> tensors = cut(config, flat);
  Draft draft(target);
  const std::string config_json = decoder_config_json(config, dtype_name(dtype));
  write_text_file(draft.file("config.json"), config_json);
  write_text_file(draft.file("generation_config.json"), generation_config_json(config_json));
  write_safetensors(draft.file("model.safetensors"), tensors, dtype, {{"format", "pt"}});
  if (!source_folder.empty()) copy_tokenizer(source_folder, draft);
  draft.publish();
}

}  // namespace tightrope
