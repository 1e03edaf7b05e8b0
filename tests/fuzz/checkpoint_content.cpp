// A sound HDF5 file with any content: the bytes decide, for every attribute and dataset of a checkpoint, whether it is
// as it should be, of another type, with other values and slabs, or not there.  No bytes: a sound checkpoint.
#include <fuzzer/FuzzedDataProvider.h>
#include <xxhash.h>

#include <algorithm>

#include "fuzz.hpp"
#include "tightrope/base/hdf5.hpp"

namespace tightrope {
namespace {

constexpr const char* table = R"([{"name": "w", "group": "network", "shape": [2, 2], "offset": 0}])";

class Writer {
 public:
  Writer(FuzzedDataProvider& bytes, const std::string& path) : bytes_(bytes), file_(h5::File::create(path)) {}

  void group(const std::string& path) {
    if (usual()) file_.make_group(path);
  }

  void attribute(const std::string& path, const std::string& name, const std::string& value) {
    if (!file_.has(path)) return;
    switch (choose(4)) {
      case 0:
        return file_.set_attribute(path, name, value);
      case 1:
        return file_.set_attribute(path, name, bytes_.ConsumeRandomLengthString(200));
      case 2:
        return file_.set_attribute(path, name, bytes_.ConsumeIntegral<int64_t>());
      case 3:
        return file_.set_attribute(path, name, bytes_.ConsumeFloatingPoint<double>());
    }
  }

  void attribute(const std::string& path, const std::string& name, int64_t value) {
    if (!file_.has(path)) return;
    if (usual()) return file_.set_attribute(path, name, value);
    attribute(path, name, std::to_string(value));
  }

  template <class T>
  void dataset(const std::string& path, std::vector<T> values) {
    switch (choose(5)) {
      case 0:
        return file_.write<T>(path, values, "1", "");
      case 1:  // of any length
        values.resize(bytes_.ConsumeIntegralInRange<size_t>(0, 40));
        return file_.write<T>(path, values, "1", "");
      case 2:  // with any values
        for (T& value : values) value = static_cast<T>(bytes_.ConsumeIntegral<int64_t>());
        return file_.write<T>(path, values, "1", "");
      case 3:  // cut anywhere
        file_.write<T>(path, values, "1", "");
        return cut<T>(path, values);
      case 4:  // of another type
        return file_.write<int32_t>(path, std::vector<int32_t>(values.size()), "1", "");
    }
  }

  void close() { file_.close(); }

 private:
  // Below `kinds`, or `kinds`: not there.  0 where no bytes are left.
  int choose(int kinds) { return usual() ? 0 : bytes_.ConsumeIntegralInRange<int>(0, kinds); }
  bool usual() { return bytes_.ConsumeIntegral<uint8_t>() < 200; }

  // Into any slabs, with the checksums that belong to them, mostly.
  template <class T>
  void cut(const std::string& path, const std::vector<T>& values) {
    std::vector<int64_t> slabs(bytes_.ConsumeIntegralInRange<size_t>(0, 4));
    std::vector<uint64_t> checksums;
    size_t first = 0;
    for (int64_t& slab : slabs) {
      slab = usual() ? bytes_.ConsumeIntegralInRange<int64_t>(0, 8) : bytes_.ConsumeIntegral<int64_t>();
      const size_t count = std::min(values.size() - first, static_cast<size_t>(std::max<int64_t>(slab, 0)));
      checksums.push_back(XXH3_64bits(values.data() + first, count * sizeof(T)));
      first += count;
    }
    if (!usual()) checksums.resize(bytes_.ConsumeIntegralInRange<size_t>(0, 4));
    file_.set_attribute(path, "slabs", slabs);
    file_.set_attribute(path, "xxh3", checksums);
  }

  FuzzedDataProvider& bytes_;
  h5::File file_;
};

void write_head(Writer& file) {
  file.attribute("/", "format", std::string("tightrope-checkpoint"));
  file.attribute("/", "format_version", 1);
  for (const char* const text : {"deck", "task", "build"}) file.attribute("/", text, std::string("text"));
  file.attribute("/", "step", 7);
  for (const char* const count : {"ranks", "trainers", "searchers"}) file.attribute("/", count, 1);
  for (const char* const group : {"/scalars", "/integers", "/clocks", "/own", "/parameters", "/parameters/policy"}) {
    file.group(group);
  }
  for (const char* const name : {"phase", "lanes_done"}) file.attribute("/integers", name, 1);
  file.attribute("/clocks", "policy", 7);
  file.attribute("/parameters/policy", "table", table);
}

void write_all(Writer& file) {
  write_head(file);
  for (const char* const array : {"weights", "adam_first", "adam_second"}) {
    file.dataset<float>(std::string("/parameters/policy/") + array, {1, 2, 3, 4});
  }
  file.dataset<int64_t>("/searchers/cursors", {5, 6});
  file.dataset<uint8_t>("/store/records", std::vector<uint8_t>(24));
  file.dataset<int64_t>("/store/record_bytes", {8, 16});
  for (const char* const column : {"slot", "query", "id", "version", "length", "uses"}) {
    file.dataset<int64_t>(std::string("/index/") + column, {0, 1});
  }
  for (const char* const column : {"ticket", "content"}) {
    file.dataset<uint64_t>(std::string("/index/") + column, {3, 4});
  }
  file.dataset<double>("/index/log_reward", {-1, 0});
  file.dataset<int64_t>("/index/counters", {2, 2, 5, 0, 0, 1, 7, 7, 4, 1, 1, 0, 1});
  file.dataset<int64_t>("/own/visits", {9});
  file.close();
}

}  // namespace
}  // namespace tightrope

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tightrope;
  FuzzedDataProvider bytes(data, size);
  Writer file(bytes, fuzz::checkpoint_path());
  write_all(file);
  fuzz::read_back();
  return 0;
}
