// Reading: the header, checked, and the mapped file.  Conversions and writing: safetensors_values.cpp, _write.cpp.
#include "tightrope/base/safetensors.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"
#include "tightrope/base/json.hpp"

namespace tightrope {
namespace {

using nlohmann::json;

constexpr uint64_t length_bytes = 8, longest_header = 100'000'000;
constexpr const char* advice = "get the file again from where it came";

// What a wrong tensor is called in a message.
struct Place {
  const std::string& file;
  const std::string& name;
  std::string problem() const { return "tensor '" + name + "' of '" + file + "' is broken"; }
};

std::string number(uint64_t value) { return std::to_string(value); }

uint64_t header_length(std::span<const std::byte> bytes, uint64_t file_size, const std::string& file) {
  const std::string problem = "'" + file + "' is not a safetensors file";
  VALIDATE(std::min<uint64_t>(bytes.size(), file_size) >= length_bytes, problem,
           "it has " + number(file_size) + " bytes, fewer than the 8 of the header's length", advice);
  uint64_t length = 0;
  for (uint64_t i = 0; i < length_bytes; ++i) length |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  VALIDATE(length <= longest_header, problem, "its header would have " + number(length) + " bytes; at most 100 MB",
           advice);
  VALIDATE(length <= std::min<uint64_t>(bytes.size(), file_size) - length_bytes, problem,
           "its header has " + number(length) + " bytes and the file " + number(file_size), advice);
  return length;
}

Dtype parse_dtype(const json& value, const Place& place) {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16})
    if (value == dtype_code(dtype)) return dtype;
  throw Failure("tensor '" + place.name + "' of '" + place.file + "' has the dtype " + short_text(value),
                "F32, F16 and BF16 are supported", "convert the model");
}

std::vector<int64_t> parse_shape(const json& value, const Place& place) {
  VALIDATE(value.is_array(), place.problem(), "its shape " + short_text(value) + " is not a list", advice);
  std::vector<int64_t> shape;
  for (const json& size : value) {
    const bool good = size.is_number_unsigned() && size.get<uint64_t>() <= std::numeric_limits<int64_t>::max();
    VALIDATE(good, place.problem(), "its shape " + short_text(value) + " holds " + short_text(size), advice);
    shape.push_back(size.get<int64_t>());
  }
  return shape;
}

uint64_t bytes_of(const std::vector<int64_t>& shape, Dtype dtype, const Place& place) {
  auto bytes = static_cast<uint64_t>(dtype_bytes(dtype));
  for (const int64_t size : shape) {
    const auto factor = static_cast<uint64_t>(size);
    VALIDATE(factor == 0 || bytes <= std::numeric_limits<uint64_t>::max() / factor, place.problem(),
             "its shape " + shape_text(shape) + " is too large for any file", advice);
    bytes *= factor;
  }
  return bytes;
}

SafetensorsTensor parse_tensor(const json& value, uint64_t data, uint64_t file_size, const Place& place) {
  const bool whole = value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
                     value.contains("data_offsets");
  VALIDATE(whole, place.problem(), "its entry is not {dtype, shape, data_offsets}", advice);
  SafetensorsTensor tensor{.name = place.name,
                           .dtype = parse_dtype(value.at("dtype"), place),
                           .shape = parse_shape(value.at("shape"), place)};
  const json& range = value.at("data_offsets");
  const bool pair =
      range.is_array() && range.size() == 2 && range[0].is_number_unsigned() && range[1].is_number_unsigned();
  VALIDATE(pair, place.problem(), "its data_offsets " + short_text(range) + " are not two offsets", advice);
  const auto begin = range[0].get<uint64_t>(), end = range[1].get<uint64_t>();
  VALIDATE(begin <= end, place.problem(), "its data_offsets " + short_text(range) + " run backwards", advice);
  VALIDATE(end <= file_size - data, place.problem(),
           "its data end at " + number(end) + " of " + number(file_size - data) + " bytes: the file is cut off",
           advice);
  VALIDATE(bytes_of(tensor.shape, tensor.dtype, place) == end - begin, place.problem(),
           "its shape " + shape_text(tensor.shape) + " in " + dtype_code(tensor.dtype) + " does not fit " +
               number(end - begin) + " bytes",
           advice);
  tensor.begin = data + begin;
  tensor.end = data + end;
  return tensor;
}

void check_metadata(const json& value, const std::string& file) {
  const bool good = value.is_object() && std::ranges::all_of(value, [](const json& text) { return text.is_string(); });
  VALIDATE(good, "the __metadata__ of '" + file + "' is broken", "it is not a map from text to text", advice);
}

void check_cover(const std::vector<SafetensorsTensor>& tensors, uint64_t data, uint64_t file_size,
                 const std::string& file) {
  uint64_t end = data;
  for (const SafetensorsTensor& tensor : tensors) {
    const Place place{file, tensor.name};
    VALIDATE(tensor.begin >= end, place.problem(), "its data overlap another tensor's", advice);
    VALIDATE(tensor.begin == end, place.problem(), number(tensor.begin - end) + " bytes before it belong to no tensor",
             advice);
    end = tensor.end;
  }
  VALIDATE(end == file_size, "'" + file + "' is broken",
           "its last " + number(file_size - end) + " bytes belong to no tensor", advice);
}

}  // namespace

std::vector<SafetensorsTensor> parse_safetensors_header(std::span<const std::byte> bytes, uint64_t file_size,
                                                        const std::string& file) {
  const uint64_t length = header_length(bytes, file_size, file), data = length_bytes + length;
  const auto* const text = reinterpret_cast<const char*>(bytes.data()) + length_bytes;
  const json header = parse_json({text, length}, file);
  VALIDATE(header.is_object(), "'" + file + "' is not a safetensors file", "its header is not a JSON object", advice);
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      check_metadata(value, file);
    } else {
      tensors.push_back(parse_tensor(value, data, file_size, {file, name}));
    }
  }
  // Tensors without values share a begin; those go first, or they would seem to overlap.
  std::ranges::sort(tensors, [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_cover(tensors, data, file_size, file);
  return tensors;
}

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), tensors_(parse_safetensors_header(file_.bytes(), file_.bytes().size(), path)) {
  file_.expect_all();
}

const SafetensorsTensor* SafetensorsFile::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors_, name, &SafetensorsTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

std::span<const std::byte> SafetensorsFile::bytes(const SafetensorsTensor& tensor) const {
  return file_.bytes().subspan(tensor.begin, tensor.end - tensor.begin);
}

}  // namespace tightrope
