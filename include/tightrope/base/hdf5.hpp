#pragma once
// HDF5, wrapped once.  Not thread-safe: all calls of a process run on its one IoThread (io_thread.hpp).
// Only this file's source names H5.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/mapped_file.hpp"
#include "tightrope/base/mpi.hpp"

namespace tightrope::h5 {

enum class Type { int8, uint8, int32, int64, uint64, float32, float64 };

template <class T>
constexpr Type type_of();
template <>
constexpr Type type_of<int8_t>() {
  return Type::int8;
}
template <>
constexpr Type type_of<uint8_t>() {
  return Type::uint8;
}
template <>
constexpr Type type_of<std::byte>() {
  return Type::uint8;
}
template <>
constexpr Type type_of<int32_t>() {
  return Type::int32;
}
template <>
constexpr Type type_of<int64_t>() {
  return Type::int64;
}
template <>
constexpr Type type_of<uint64_t>() {
  return Type::uint64;
}
template <>
constexpr Type type_of<float>() {
  return Type::float32;
}
template <>
constexpr Type type_of<double>() {
  return Type::float64;
}

std::string library_version();  // "HDF5 1.10.8 (parallel)"

// A slab's values in the pages of its file, which stay as long as this: little-endian, at any address.
struct MappedSlab {
  std::shared_ptr<const MappedFile> file;  // none where there are no values
  std::span<const std::byte> bytes;
  std::string where;  // "dataset '/x' of 'file'"
  int64_t slab = 0;
  uint64_t checksum = 0;

  void verify() const;  // Failure where it is damaged

  template <class T>
  size_t size() const {
    return bytes.size() / sizeof(T);
  }
  template <class T>
  T at(size_t i) const {
    static_assert(std::endian::native == std::endian::little);
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  }
};

class File {
 public:
  static File create(const std::string& path);  // serial; replaces what is there
  // Collective; all ranks write it together (with a serial HDF5: rank 0, for all).  comm outlives the file.
  static File create(const std::string& path, const mpi::Comm& comm);
  static File open(const std::string& path);    // read-only; Failure says what is wrong
  static File reopen(const std::string& path);  // serial, to write on
  File(File&&) noexcept;
  ~File();       // a parallel file is left alone while an exception unwinds
  void close();  // throws where HDF5 could not write everything; the destructor does not

  // Attributes and groups ("/" or "/weights").  In a file that ranks write together every rank calls with the same
  // values, and reads nothing.  Setting an attribute again replaces it.
  void make_group(const std::string& path);
  void set_attribute(const std::string& path, const std::string& name, const std::string& value);
  void set_attribute(const std::string& path, const std::string& name, int64_t value);
  void set_attribute(const std::string& path, const std::string& name, double value);
  void set_attribute(const std::string& path, const std::string& name, const std::vector<int64_t>& list);
  void set_attribute(const std::string& path, const std::string& name, const std::vector<uint64_t>& list);
  std::string text_attribute(const std::string& path, const std::string& name) const;
  int64_t integer_attribute(const std::string& path, const std::string& name) const;
  double real_attribute(const std::string& path, const std::string& name) const;
  std::string attribute_as_text(const std::string& path, const std::string& name) const;  // whatever its type
  bool has(const std::string& path) const;
  bool is_group(const std::string& path) const;
  bool has_attribute(const std::string& path, const std::string& name) const;
  std::vector<std::string> attribute_names(const std::string& path) const;  // sorted
  std::vector<std::string> members(const std::string& group) const;         // names of datasets and groups, sorted

  // Collective where the file is parallel: a 1-D dataset of the concatenation of every rank's slab in rank order
  // (serial: just this one), without holes, uncompressed, with attributes `unit`, `help`, `slabs` (values per rank)
  // and `xxh3` (XXH3-64 of the little-endian bytes of each slab).
  template <class T>
  void write(const std::string& path, std::span<const T> slab, const std::string& unit, const std::string& help) {
    write_raw(path, type_of<T>(), std::as_bytes(slab), unit, help);
  }
  // `count` values from `first`; checks nothing.  read() with defaults reads all and verifies every checksum.
  template <class T>
  std::vector<T> read(const std::string& path, int64_t first = 0, int64_t count = -1) const {
    std::vector<T> values(static_cast<size_t>(count < 0 ? whole_length(path) - first : count));
    read_raw(path, type_of<T>(), first, std::as_writable_bytes(std::span(values)));
    if (first == 0 && count < 0) verify_all(path, std::as_bytes(std::span(values)));
    return values;
  }
  // What rank `slab` wrote, verified.
  template <class T>
  std::vector<T> read_slab(const std::string& path, int64_t slab) const {
    const Extent extent = slab_extent(path, slab);
    std::vector<T> values(static_cast<size_t>(extent.count));
    read_raw(path, type_of<T>(), extent.first, std::as_writable_bytes(std::span(values)));
    verify(path, slab, extent.checksum, std::as_bytes(std::span(values)));
    return values;
  }
  // The same without a copy; verify() is still to be called.
  template <class T>
  MappedSlab map_slab(const std::string& path, int64_t slab) const {
    return map_raw(path, type_of<T>(), slab);
  }
  void read_ahead(const std::vector<MappedSlab>& slabs) const;    // in this order, while the caller goes on
  void verify_slab(const std::string& path, int64_t slab) const;  // whatever its type
  std::vector<int64_t> slabs(const std::string& path) const;      // values per writing rank
  int64_t length(const std::string& path) const;                  // values (first dimension)
  std::vector<int64_t> shape(const std::string& path) const;
  std::string type_name(const std::string& path) const;  // "float64", ... or "another type"

  // Growing tables (serial files): a chunked dataset (rows, width); width 0 = 1-D.
  void make_table(const std::string& path, Type type, int64_t width, const std::string& unit, const std::string& help);
  int64_t table_width(const std::string& path) const;
  void set_rows(const std::string& path, int64_t rows);  // new rows hold NaN (integers: 0) until they are written
  void write_row(const std::string& path, Type type, int64_t row, std::span<const std::byte> values);
  void append_row(const std::string& path, Type type, std::span<const std::byte> values);
  void flush();

 private:
  struct Extent {
    int64_t first = 0, count = 0;
    uint64_t checksum = 0;
  };
  struct Handle;
  explicit File(std::unique_ptr<Handle> handle);
  Extent slab_extent(const std::string& path, int64_t slab) const;
  int64_t whole_length(const std::string& path) const;  // the sum of slabs()
  void compare(const std::string& path, int64_t slab, uint64_t checksum, uint64_t found) const;
  void verify(const std::string& path, int64_t slab, uint64_t checksum, std::span<const std::byte> bytes) const;
  void verify_all(const std::string& path, std::span<const std::byte> bytes) const;
  void write_raw(const std::string& path, Type, std::span<const std::byte> slab, const std::string& unit,
                 const std::string& help);
  void read_raw(const std::string& path, Type, int64_t first, std::span<std::byte> out) const;
  MappedSlab map_raw(const std::string& path, Type, int64_t slab) const;
  std::unique_ptr<Handle> handle_;
};

}  // namespace tightrope::h5
