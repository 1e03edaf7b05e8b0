// Growing tables: chunked datasets with one row per interval, kept open for the life of the file.
#include <algorithm>
#include <array>
#include <limits>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::h5 {
namespace {

constexpr int64_t chunk_bytes = 4096;  // small: a chunk is written again at every flush until it is full

// Rows and width (0 for a one-dimensional table).
std::array<hsize_t, 2> sizes_of(hid_t dataset) {
  const Id space(H5Dget_space(dataset), H5Sclose);
  std::array<hsize_t, 2> sizes = {0, 0};
  if (H5Sget_simple_extent_ndims(space) <= 2) H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  return sizes;
}

int dimensions(int64_t width) { return width > 0 ? 2 : 1; }

// New rows hold NaN, or 0 for integers.
void set_fill(hid_t layout, Type type) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (type == Type::float32 || type == Type::float64) H5Pset_fill_value(layout, H5T_NATIVE_DOUBLE, &nan);
  H5Pset_fill_time(layout, H5D_FILL_TIME_ALLOC);
}

}  // namespace

void File::make_table(const std::string& path, Type type, int64_t width, const std::string& unit,
                      const std::string& help) {
  Handle& h = *handle_;
  const int64_t row_bytes = std::max<int64_t>(width, 1) * bytes_of(type);
  const std::array<hsize_t, 2> none = {0, static_cast<hsize_t>(width)};
  const std::array<hsize_t, 2> most = {H5S_UNLIMITED, static_cast<hsize_t>(width)};
  const std::array<hsize_t, 2> chunk = {static_cast<hsize_t>(std::max<int64_t>(1, chunk_bytes / row_bytes)),
                                        static_cast<hsize_t>(width)};
  const Id space(H5Screate_simple(dimensions(width), none.data(), most.data()), H5Sclose);
  h.make_groups(path.substr(0, path.rfind('/')));
  const Id layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(layout, dimensions(width), chunk.data());
  set_fill(layout, type);
  Id table(H5Dcreate2(h.file, path.c_str(), file_type(type), space, H5P_DEFAULT, layout, H5P_DEFAULT), H5Dclose);
  if (table < 0) h.fail("cannot create " + h.where(path));
  h.tables.insert_or_assign(path, std::move(table));
  set_attribute(path, "unit", unit);
  set_attribute(path, "help", help);
}

int64_t File::table_width(const std::string& path) const {
  return static_cast<int64_t>(sizes_of(handle_->table(path))[1]);
}

void File::set_rows(const std::string& path, int64_t rows) {
  const Id& table = handle_->table(path);
  std::array<hsize_t, 2> sizes = sizes_of(table);
  sizes[0] = static_cast<hsize_t>(rows);
  if (H5Dset_extent(table, sizes.data()) < 0) handle_->fail("cannot resize " + handle_->where(path));
}

void File::write_row(const std::string& path, Type type, int64_t row, std::span<const std::byte> values) {
  const Id& table = handle_->table(path);
  const auto width = sizes_of(table)[1];
  const auto count = static_cast<hsize_t>(static_cast<int64_t>(values.size()) / bytes_of(type));
  if (count != std::max<hsize_t>(width, 1)) {
    handle_->fail("cannot write " + handle_->where(path), "a row holds " + std::to_string(std::max<hsize_t>(width, 1)) +
                                                              " values, not " + std::to_string(count));
  }
  const std::array<hsize_t, 2> first = {static_cast<hsize_t>(row), 0};
  const std::array<hsize_t, 2> extent = {1, width};
  const Id space(H5Dget_space(table), H5Sclose);
  const Id memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, first.data(), nullptr, extent.data(), nullptr);
  if (H5Dwrite(table, memory_type(type), memory, space, H5P_DEFAULT, values.data()) < 0) {
    handle_->fail("cannot write " + handle_->where(path));
  }
}

void File::append_row(const std::string& path, Type type, std::span<const std::byte> values) {
  const int64_t rows = length(path);
  set_rows(path, rows + 1);
  write_row(path, type, rows, values);
}

}  // namespace tightrope::h5
