// One-dimensional datasets made of slabs, with their checksums.
#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include <xxhash.h>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::h5 {
namespace {

constexpr int64_t piece_bytes = int64_t{1} << 30;  // of one write: MPI counts are ints
constexpr hssize_t most_slabs = 1 << 20;           // more is damage
constexpr int64_t sent_bytes = int64_t{8} << 20;   // at once to the rank that writes for all; whole values of any type

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

uint64_t checksum_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

// The values of a list attribute; empty where it is not there.
std::vector<int64_t> take_list(hid_t object, const char* name, hid_t memory) {
  if (H5Aexists(object, name) <= 0) return {};
  const Id attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  const Id space(H5Aget_space(attribute), H5Sclose);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (count < 0 || count > most_slabs) return {};
  std::vector<int64_t> values(static_cast<size_t>(count));
  if (H5Aread(attribute, memory, values.data()) < 0) return {};
  return values;
}

std::vector<int64_t> gather(const mpi::Comm* comm, int64_t value) {
  return comm ? comm->gather_all(value) : std::vector<int64_t>{value};
}

// Writes `bytes` from value `first` on, each rank for itself: slabs are contiguous, so there is nothing to gather, and
// where a disk fills up under a collective write Open MPI 4.1 leaves the other ranks waiting.
bool write_slab(hid_t dataset, Type type, int64_t first, std::span<const std::byte> bytes) {
  const int64_t size = bytes_of(type), step = piece_bytes / size;
  const auto count = static_cast<int64_t>(bytes.size()) / size;
  const Id space(H5Dget_space(dataset), H5Sclose);
  for (int64_t done = 0; done < count; done += step) {
    const auto here = static_cast<hsize_t>(std::min(count - done, step));
    const auto offset = static_cast<hsize_t>(first + done);
    const Id memory(H5Screate_simple(1, &here, nullptr), H5Sclose);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &offset, nullptr, &here, nullptr);
    if (H5Dwrite(dataset, memory_type(type), memory, space, H5P_DEFAULT, bytes.data() + done * size) < 0) return false;
  }
  return true;
}

// What the other ranks send: one after another, in pieces that rank 0 can hold.  Where it cannot write, it still takes
// what is sent.
bool write_slabs_of_others(const mpi::Comm& comm, hid_t dataset, Type type, const std::vector<int64_t>& counts) {
  const int64_t size = bytes_of(type);
  std::vector<std::byte> piece;
  bool good = true;
  int64_t first = counts[0];
  for (int rank = 1; rank < comm.size(); ++rank) {
    const int64_t count = counts[static_cast<size_t>(rank)];
    for (int64_t done = 0; done < count; done += sent_bytes / size) {
      const int64_t here = std::min(count - done, sent_bytes / size);
      piece.resize(static_cast<size_t>(here * size));
      comm.receive(piece, rank);
      good = good && write_slab(dataset, type, first + done, piece);
    }
    first += count;
  }
  return good;
}

void send_slab(const mpi::Comm& comm, std::span<const std::byte> slab) {
  for (; !slab.empty(); slab = slab.subspan(std::min<size_t>(slab.size(), sent_bytes))) {
    comm.send(slab.first(std::min<size_t>(slab.size(), sent_bytes)), 0);
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
    written = write_slab(dataset, type, first, slab);
    if (h.gathers()) written = write_slabs_of_others(*h.comm, dataset, type, counts) && written;
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

void File::read_raw(const std::string& path, Type type, int64_t first, std::span<std::byte> out) const {
  const Id dataset = handle_->dataset(path);
  const Id stored(H5Dget_type(dataset), H5Tclose);
  if (name_of(stored) != name_of(type)) {
    handle_->fail("cannot read " + handle_->where(path), "it holds " + name_of(stored) + ", not " + name_of(type));
  }
  const Id space(H5Dget_space(dataset), H5Sclose);
  if (H5Sget_simple_extent_ndims(space) != 1) {
    handle_->fail("cannot read " + handle_->where(path), "it is not one-dimensional");
  }
  const auto count = static_cast<hsize_t>(static_cast<int64_t>(out.size()) / bytes_of(type));
  if (count == 0) return;
  const auto offset = static_cast<hsize_t>(first);
  const Id memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &offset, nullptr, &count, nullptr);
  if (H5Dread(dataset, memory_type(type), memory, space, H5P_DEFAULT, out.data()) < 0) {
    handle_->fail("cannot read " + handle_->where(path));
  }
}

int64_t File::length(const std::string& path) const {
  const auto sizes = shape(path);
  if (sizes.empty()) handle_->fail("cannot read " + handle_->where(path), "it has no length");
  return sizes[0];
}

std::vector<int64_t> File::shape(const std::string& path) const {
  const Id space(H5Dget_space(handle_->dataset(path)), H5Sclose);
  hsize_t sizes[H5S_MAX_RANK] = {0};
  const int dimensions = H5Sget_simple_extent_dims(space, sizes, nullptr);
  if (dimensions < 0) handle_->fail("cannot read " + handle_->where(path), "it has no shape");
  return {sizes, sizes + dimensions};
}

std::string File::type_name(const std::string& path) const {
  return name_of(Id(H5Dget_type(handle_->dataset(path)), H5Tclose));
}

std::vector<int64_t> File::slabs(const std::string& path) const {
  const Id dataset = handle_->dataset(path);
  auto counts = take_list(dataset, "slabs", H5T_NATIVE_INT64);
  const int64_t values = length(path);
  int64_t left = values;
  for (const int64_t count : counts) left = count >= 0 && count <= left ? left - count : -1;
  if (counts.empty() || left != 0) {
    handle_->fail("cannot read " + handle_->where(path), "its table of slabs does not fit its length");
  }
  // Nothing is compressed: a length that the file cannot hold is damage, and no memory is asked for it.
  hsize_t file_bytes = 0;
  const Id stored(H5Dget_type(dataset), H5Tclose);
  if (H5Fget_filesize(handle_->file, &file_bytes) < 0 ||
      static_cast<hsize_t>(values) > file_bytes / std::max<size_t>(H5Tget_size(stored), 1)) {
    handle_->fail("cannot read " + handle_->where(path), "it is longer than the file");
  }
  return counts;
}

int64_t File::whole_length(const std::string& path) const {
  const auto counts = slabs(path);
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

File::Extent File::slab_extent(const std::string& path, int64_t slab) const {
  const auto counts = slabs(path);
  const auto checksums = take_list(handle_->dataset(path), "xxh3", H5T_NATIVE_UINT64);
  if (slab < 0 || slab >= static_cast<int64_t>(counts.size()) || counts.size() != checksums.size()) {
    handle_->fail(
        "cannot read slab " + std::to_string(slab) + " of " + handle_->where(path),
        "it has " + std::to_string(counts.size()) + " slabs and " + std::to_string(checksums.size()) + " checksums");
  }
  const auto i = static_cast<size_t>(slab);
  return {std::accumulate(counts.begin(), counts.begin() + slab, int64_t{0}), counts[i],
          std::bit_cast<uint64_t>(checksums[i])};
}

void File::verify(const std::string& path, int64_t slab, uint64_t checksum, std::span<const std::byte> bytes) const {
  if (checksum_of(bytes) != checksum) {
    handle_->fail(handle_->where(path) + " is damaged", "slab " + std::to_string(slab) + " differs from its checksum");
  }
}

void File::verify_all(const std::string& path, std::span<const std::byte> bytes) const {
  const auto count = static_cast<int64_t>(slabs(path).size());
  const int64_t values = length(path);
  const size_t size = values > 0 ? bytes.size() / static_cast<size_t>(values) : 0;
  for (int64_t slab = 0; slab < count; ++slab) {
    const Extent extent = slab_extent(path, slab);
    verify(path, slab, extent.checksum,
           bytes.subspan(static_cast<size_t>(extent.first) * size, static_cast<size_t>(extent.count) * size));
  }
}

void File::verify_slab(const std::string& path, int64_t slab) const {
  const std::string name = type_name(path);
  for (const TypeRow& row : type_rows) {
    if (name != row.name) continue;
    const Extent extent = slab_extent(path, slab);
    std::vector<std::byte> bytes(static_cast<size_t>(extent.count * row.bytes));
    read_raw(path, row.type, extent.first, bytes);
    return verify(path, slab, extent.checksum, bytes);
  }
  handle_->fail("cannot verify " + handle_->where(path), "it holds " + name);
}

}  // namespace tightrope::h5
