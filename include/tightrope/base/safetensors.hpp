#pragma once
// Safetensors, Hugging Face's format for weights, read and written without their library.  A file is 8 bytes (length n
// of the header, little endian), n bytes of JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}, ...,
// "__metadata__": {text: text}}, and the data: row-major, little endian, without holes.
// Source: https://github.com/huggingface/safetensors, "Format".
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/bfloat16.hpp"
#include "tightrope/base/mapped_file.hpp"

namespace tightrope {

enum class Dtype { float32, float16, bfloat16 };
int64_t dtype_bytes(Dtype dtype);                        // of one value
const char* dtype_code(Dtype dtype);                     // as safetensors writes it: F32, F16, BF16
const char* dtype_name(Dtype dtype);                     // as config.json writes it: float32, float16, bfloat16
std::string shape_text(std::span<const int64_t> shape);  // "(3, 4)"

struct SafetensorsTensor {
  std::string name;
  Dtype dtype = Dtype::float32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes of the file, counted from its first
};

// The tensors of a file of `file_size` bytes that begins with `bytes` (the header must lie in them), ascending in
// begin. Pure; any bytes may be given.  What it returns is well-formed: shapes fit their ranges, the ranges lie in the
// file, touch each other from the end of the header to the end of the file, and no name occurs twice. Throws Failure
// that names the file, and the tensor where it is one's: a header longer than 100 MB or than the file, no JSON object,
// an unknown dtype (say, I64), a broken shape or range, overlap, a hole, a repeated name.
std::vector<SafetensorsTensor> parse_safetensors_header(std::span<const std::byte> bytes, uint64_t file_size,
                                                        const std::string& file);

// A mapped file: nothing is read but the header until somebody looks at a tensor's bytes.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);  // throws as MappedFile and parse_safetensors_header

  const std::string& path() const { return file_.path(); }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const SafetensorsTensor* find(const std::string& name) const;  // null where there is none
  std::span<const std::byte> bytes(const SafetensorsTensor& tensor) const;

 private:
  MappedFile file_;
  std::vector<SafetensorsTensor> tensors_;
};

// Exact: every float16 and bfloat16 is a float32.  `from` holds to.size() values of any alignment.
void to_float32(std::span<const std::byte> from, Dtype dtype, std::span<float> to);

bool all_finite(std::span<const float> values);

struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // row-major, as many as the shape says
};

// In the order of the list, data from a multiple of 8 on; `dtype` is float32 or bfloat16.
// Whole or not at all, as NewFile.  Throws Failure: the file cannot be written.
void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors, Dtype dtype,
                       const std::map<std::string, std::string>& metadata);

}  // namespace tightrope
