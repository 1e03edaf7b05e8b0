// Writing one-dimensional datasets, slab by slab.  Reading and checksums: hdf5_read.cpp.
#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/new_file.hpp"

namespace tightrope::h5 {
namespace {

struct TypeRow {
  Type type;
  const char* name;
  int64_t bytes;
};
constexpr TypeRow type_rows[] = {
    {Type::int8, "int8", 1},     {Type::uint8, "uint8", 1},     {Type::int32, "int32", 4},    {Type::int64, "int64", 8},
    {Type::uint64, "uint64", 8}, {Type::float32, "float32", 4}, {Type::float64, "float64", 8}};

const TypeRow& row_of(Type type) {
  return *std::find_if(std::begin(type_rows), std::end(type_rows), [&](const TypeRow& r) { return r.type == type; });
}

std::vector<int64_t> gather(const mpi::Comm* comm, int64_t value) {
  return comm ? comm->gather_all(value) : std::vector<int64_t>{value};
}

// Writes `bytes` from value `first` on, each rank for itself: slabs are contiguous, so there is nothing to gather, and
// where a disk fills up under a collective write Open MPI 4.1 leaves the other ranks waiting.
bool write_slab(const std::string& path, hid_t dataset, Type type, int64_t first, std::span<const std::byte> bytes) {
  const int64_t size = bytes_of(type), step = piece_bytes / size;
  const auto count = static_cast<int64_t>(bytes.size()) / size;
  const Id space(H5Dget_space(dataset), H5Sclose);
  std::optional<WriteBack> disk;
  if (count >= step) disk.emplace(path);
  for (int64_t done = 0; done < count; done += step) {
    const auto here = static_cast<hsize_t>(std::min(count - done, step));
    const auto offset = static_cast<hsize_t>(first + done);
    const Id memory(H5Screate_simple(1, &here, nullptr), H5Sclose);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &offset, nullptr, &here, nullptr);
    if (H5Dwrite(dataset, memory_type(type), memory, space, H5P_DEFAULT, bytes.data() + done * size) < 0) return false;
    if (!disk) continue;
    const haddr_t place = H5Dget_offset(dataset);
    if (place != HADDR_UNDEF)
      disk->start(static_cast<int64_t>(place) + (first + done) * size, static_cast<int64_t>(here) * size);
  }
  return true;
}

// What the other ranks send: one after another, in pieces that rank 0 can hold.  Where it cannot write, it still takes
// what is sent.
bool write_slabs_of_others(const std::string& path, const mpi::Comm& comm, hid_t dataset, Type type,
                           const std::vector<int64_t>& counts) {
  const int64_t size = bytes_of(type);
  std::vector<std::byte> piece;
  bool good = true;
  int64_t first = counts[0];
  for (int rank = 1; rank < comm.size(); ++rank) {
    const int64_t count = counts[static_cast<size_t>(rank)];
    for (int64_t done = 0; done < count; done += piece_bytes / size) {
      const int64_t here = std::min(count - done, piece_bytes / size);
      piece.resize(static_cast<size_t>(here * size));
      comm.receive(piece, rank);
      good = good && write_slab(path, dataset, type, first + done, piece);
    }
    first += count;
  }
  return good;
}

void send_slab(const mpi::Comm& comm, std::span<const std::byte> slab) {
  for (; !slab.empty(); slab = slab.subspan(std::min<size_t>(slab.size(), piece_bytes))) {
    comm.send(slab.first(std::min<size_t>(slab.size(), piece_bytes)), 0);
  }
}

}  // namespace

bool on_all(const mpi::Comm* comm, bool good) {
  int64_t bad = good ? 0 : 1;
  if (comm) comm->max(std::span(&bad, 1));
  return bad == 0;
}

hid_t memory_type(Type type) {
  switch (type) {
    case Type::int8:
      return H5T_NATIVE_INT8;
    case Type::uint8:
      return H5T_NATIVE_UINT8;
    case Type::int32:
      return H5T_NATIVE_INT32;
    case Type::int64:
      return H5T_NATIVE_INT64;
    case Type::uint64:
      return H5T_NATIVE_UINT64;
    case Type::float32:
      return H5T_NATIVE_FLOAT;
    case Type::float64:
      return H5T_NATIVE_DOUBLE;
  }
  return -1;
}

hid_t file_type(Type type) {
  switch (type) {
    case Type::int8:
      return H5T_STD_I8LE;
    case Type::uint8:
      return H5T_STD_U8LE;
    case Type::int32:
      return H5T_STD_I32LE;
    case Type::int64:
      return H5T_STD_I64LE;
    case Type::uint64:
      return H5T_STD_U64LE;
    case Type::float32:
      return H5T_IEEE_F32LE;
    case Type::float64:
      return H5T_IEEE_F64LE;
  }
  return -1;
}

int64_t bytes_of(Type type) { return row_of(type).bytes; }

std::optional<Type> type_named(const std::string& name) {
  const auto row =
      std::find_if(std::begin(type_rows), std::end(type_rows), [&](const TypeRow& r) { return name == r.name; });
  return row == std::end(type_rows) ? std::nullopt : std::optional(row->type);
}
std::string name_of(Type type) { return row_of(type).name; }

std::string name_of(hid_t stored) {
  for (const TypeRow& row : type_rows) {
    if (H5Tequal(stored, file_type(row.type)) > 0) return row.name;
  }
  return "another type";
}

void File::write_raw(const std::string& path, Type type, std::span<const std::byte> slab, const std::string& unit,
                     const std::string& help) {
  Handle& h = *handle_;
  const int rank = h.comm ? h.comm->rank() : 0;
  const auto counts = gather(h.comm, static_cast<int64_t>(slab.size()) / bytes_of(type));
  const auto checksums = gather(h.comm, std::bit_cast<int64_t>(checksum_of(slab)));
  const int64_t first = std::accumulate(counts.begin(), counts.begin() + rank, int64_t{0});
  const auto total = static_cast<hsize_t>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));

  Id dataset;
  h.where_the_file_is([&] { dataset = h.make_dataset(path, type, total); });
  bool written = true;
  if (h.gathers() && rank > 0) {
    send_slab(*h.comm, slab);
  } else {
    written = write_slab(h.path, dataset, type, first, slab);
    if (h.gathers()) written = write_slabs_of_others(h.path, *h.comm, dataset, type, counts) && written;
  }
  const haddr_t place = total == 0 || dataset < 0 ? HADDR_UNDEF : H5Dget_offset(dataset);
  if (place != HADDR_UNDEF) h.extents.emplace_back(place, total * static_cast<hsize_t>(bytes_of(type)));
  if (!on_all(h.comm, written)) {
    h.fail("cannot write " + h.where(path), written ? "another rank could not write its slab" : "");
  }
  dataset = Id();
  set_attribute(path, "slabs", counts);
  set_attribute(path, "xxh3", std::vector<uint64_t>(checksums.begin(), checksums.end()));
  set_attribute(path, "unit", unit);
  set_attribute(path, "help", help);
}

Id File::Handle::make_dataset(const std::string& name, Type type, hsize_t values) {
  const Id space(H5Screate_simple(1, &values, nullptr), H5Sclose);
  make_groups(name.substr(0, name.rfind('/')));
  const Id layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
  Id made(H5Dcreate2(file, name.c_str(), file_type(type), space, H5P_DEFAULT, layout, H5P_DEFAULT), H5Dclose);
  if (made < 0) fail("cannot create " + where(name));
  return made;
}

}  // namespace tightrope::h5
