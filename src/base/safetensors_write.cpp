#include <algorithm>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"
#include "tightrope/base/new_file.hpp"
#include "tightrope/base/safetensors.hpp"

namespace tightrope {
namespace {

std::string header_text(std::span<const TensorToWrite> tensors, Dtype dtype,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    EXPECT(tensor.name != "__metadata__" && !header.contains(tensor.name));
    const uint64_t end = begin + tensor.values.size() * static_cast<uint64_t>(dtype_bytes(dtype));
    header[tensor.name] = {{"dtype", dtype_code(dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begin at a multiple of 8
  std::string length;
  for (int i = 0; i < 8; ++i) length += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return length + text;
}

void write_bfloat16(NewFile& file, std::span<const float> values) {
  std::vector<uint16_t> block(std::min<size_t>(values.size(), 1 << 20));
  while (!values.empty()) {
    const std::span<uint16_t> rounded(block.data(), std::min(block.size(), values.size()));
    to_bfloat16(values.first(rounded.size()), rounded);
    file.write(std::as_bytes(rounded));
    values = values.subspan(rounded.size());
  }
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors, Dtype dtype,
                       const std::map<std::string, std::string>& metadata) {
  EXPECT(dtype != Dtype::float16);
  NewFile file(path);
  const std::string header = header_text(tensors, dtype, metadata);
  file.write(std::as_bytes(std::span(header)));
  for (const TensorToWrite& tensor : tensors) {
    if (dtype == Dtype::bfloat16) {
      write_bfloat16(file, tensor.values);
    } else {
      file.write(std::as_bytes(tensor.values));
    }
  }
  file.publish();
}

}  // namespace tightrope
