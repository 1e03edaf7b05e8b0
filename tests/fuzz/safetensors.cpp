// The head of a safetensors file, and how much longer than what is here the file is (first byte, in units of 4 bytes).
#include "tightrope/base/safetensors.hpp"

#include "fuzz.hpp"
#include "tightrope/base/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tightrope;
  if (size == 0) return 0;
  const std::span bytes = std::as_bytes(std::span(data + 1, size - 1));
  const uint64_t file_size = bytes.size() + uint64_t{4} * data[0];
  try {
    uint64_t end = 0;
    for (const SafetensorsTensor& tensor : parse_safetensors_header(bytes, file_size, "model.safetensors")) {
      int64_t values = 1;
      for (const int64_t extent : tensor.shape) values *= extent;
      fuzz::require(end == 0 || tensor.begin == end);  // no holes
      fuzz::require(tensor.begin <= tensor.end && tensor.end <= file_size);
      fuzz::require(static_cast<uint64_t>(values * dtype_bytes(tensor.dtype)) == tensor.end - tensor.begin);
      end = tensor.end;
    }
    fuzz::require(end == 0 || end == file_size);
  } catch (const Failure&) {  // says what is wrong
  }
  return 0;
}
