#pragma once
// ModelFolder: a model as Hugging Face's tools store it: config.json, generation_config.json, and model.safetensors or
// model.safetensors.index.json with the files that it names.  Mapped, so that opening it costs no more than the
// headers, whatever the size.  Knows no Torch.
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/safetensors.hpp"
#include "tightrope/policies/decoder_config.hpp"

namespace tightrope {

// A parameter as it lies in its file.
struct StoredTensor {
  Dtype dtype = Dtype::float32;
  std::span<const int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little endian, of any alignment
};

class ModelFolder {
 public:
  // Checks everything but the values.  Throws Failure: whatever read_decoder_config and SafetensorsFile throw; no
  // weights or an index that names files which are not there; and, all of them in one message, the parameters that
  // are missing, not expected, twice there, or of another shape than config.json says.  Not counted as unexpected:
  // rotary_emb.inv_freq, which old files carry, and lm_head.weight of a tied model.
  explicit ModelFolder(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const DecoderConfig& config() const { return config_; }
  const std::vector<TensorShape>& parameters() const { return parameters_; }  // decoder_parameters(config())
  int64_t parameter_count() const { return count_; }                          // floats of the flat buffer
  int64_t bytes() const { return bytes_; }                                    // of the parameters in their files

  // Fills flat (parameter_count()) in the order of decoder_parameters.
  // Throws Failure that names the first tensor which holds a NaN or an infinity.
  void load(std::span<float> flat) const;
  void check_values() const;  // throws as load() would; needs no memory

  // By name, which must be one of parameters().  The spans live as long as this object.
  StoredTensor tensor(const std::string& name) const;
  // The values themselves where the file holds float32 at an aligned address; their finiteness is not checked.
  std::optional<std::span<const float>> mapped(const std::string& name) const;

 private:
  struct Location {
    size_t file = 0;
    const SafetensorsTensor* tensor = nullptr;
  };

  void check_finite(std::span<const float> values, const std::string& name) const;
  void locate(std::vector<std::string>& repeated);
  void check(const std::vector<std::string>& repeated);

  std::string folder_;
  DecoderConfig config_;
  std::vector<TensorShape> parameters_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Location> located_;  // every tensor of every file
  int64_t count_ = 0, bytes_ = 0;
};

// Writes config.json, generation_config.json and model.safetensors of `flat`, which lies in the order of
// decoder_parameters, as float32 or bfloat16, and copies the tokenizer's files of source_folder ("" = none), so that
// transformers' from_pretrained loads it.  The folder appears whole or not at all.
// Throws Failure: the folder is there and not empty, a value is not finite, something cannot be written.
void write_model_folder(const std::string& folder, const DecoderConfig& config, std::span<const float> flat,
                        Dtype dtype, const std::string& source_folder);

}  // namespace tightrope
