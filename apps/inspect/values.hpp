#pragma once
// Calls a function with the values of a dataset of any type.
#include <cstdint>
#include <string>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/base/hdf5.hpp"

namespace tightrope::inspect {

// use(h5::File::read<T>(path)) with the T that the dataset holds.
template <class Use>
auto with_values(const h5::File& file, const std::string& path, Use use) {
  const std::string type = file.type_name(path);
  if (type == "int8") return use(file.read<int8_t>(path));
  if (type == "uint8") return use(file.read<uint8_t>(path));
  if (type == "int32") return use(file.read<int32_t>(path));
  if (type == "int64") return use(file.read<int64_t>(path));
  if (type == "uint64") return use(file.read<uint64_t>(path));
  if (type == "float32") return use(file.read<float>(path));
  VALIDATE(type == "float64", "cannot compare dataset '" + path + "'", "it holds " + type, "leave it out by --ignore");
  return use(file.read<double>(path));
}

}  // namespace tightrope::inspect
