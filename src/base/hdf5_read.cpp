// Reading one-dimensional datasets that are made of slabs, and their checksums.
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/mapped_file.hpp"

namespace tightrope::h5 {
namespace {

constexpr hssize_t most_slabs = 1 << 20;  // more is damage

// XXH3-64 of bytes that come piece by piece.
class HashState {
 public:
  HashState() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(std::span<const std::byte> bytes) const { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t digest() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

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

}  // namespace

uint64_t checksum_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Id File::Handle::values(const std::string& name, Type type) const {
  Id found = dataset(name);
  const Id stored(H5Dget_type(found), H5Tclose), space(H5Dget_space(found), H5Sclose);
  if (name_of(stored) != name_of(type)) {
    fail("cannot read " + where(name), "it holds " + name_of(stored) + ", not " + name_of(type));
  }
  if (H5Sget_simple_extent_ndims(space) != 1) fail("cannot read " + where(name), "it is not one-dimensional");
  return found;
}

void File::read_raw(const std::string& path, Type type, int64_t first, std::span<std::byte> out) const {
  const Id dataset = handle_->values(path, type);
  const auto count = static_cast<hsize_t>(static_cast<int64_t>(out.size()) / bytes_of(type));
  if (count == 0) return;
  const auto offset = static_cast<hsize_t>(first);
  const Id space(H5Dget_space(dataset), H5Sclose), memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &offset, nullptr, &count, nullptr);
  if (H5Dread(dataset, memory_type(type), memory, space, H5P_DEFAULT, out.data()) < 0) {
    handle_->fail("cannot read " + handle_->where(path));
  }
}

MappedSlab File::map_raw(const std::string& path, Type type, int64_t slab) const {
  const Extent extent = slab_extent(path, slab);
  const Id dataset = handle_->values(path, type);
  MappedSlab found{nullptr, {}, handle_->where(path), slab, extent.checksum};
  if (extent.count == 0) return found;
  if (!handle_->mapped) {
    handle_->mapped = std::make_shared<MappedFile>(handle_->path);
    handle_->mapped->expect_all();
  }
  const auto file = handle_->mapped->bytes();
  const auto size = static_cast<size_t>(bytes_of(type)), bytes = static_cast<size_t>(extent.count) * size;
  const auto before = static_cast<size_t>(extent.first) * size;
  const haddr_t place = H5Dget_offset(dataset);
  if (place > file.size() || before + bytes > file.size() - place) {
    handle_->fail("cannot read " + handle_->where(path), "its values are not in one piece of the file");
  }
  found.file = handle_->mapped;
  found.bytes = file.subspan(place + before, bytes);
  return found;
}

void MappedSlab::verify() const {
  constexpr size_t step = size_t{2} << 20;
  const HashState state;
  for (auto left = bytes; !left.empty(); left = left.subspan(std::min(step, left.size()))) {
    const auto piece = left.first(std::min(step, left.size()));
    file->fetch(piece);
    state.add(piece);
  }
  VALIDATE(state.digest() == checksum, where + " is damaged",
           "slab " + std::to_string(slab) + " differs from its checksum", "restore the file or choose another one");
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

void File::compare(const std::string& path, int64_t slab, uint64_t checksum, uint64_t found) const {
  if (found != checksum) {
    handle_->fail(handle_->where(path) + " is damaged", "slab " + std::to_string(slab) + " differs from its checksum");
  }
}

void File::verify(const std::string& path, int64_t slab, uint64_t checksum, std::span<const std::byte> bytes) const {
  compare(path, slab, checksum, checksum_of(bytes));
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

void File::read_ahead(const std::vector<MappedSlab>& slabs) const {
  std::vector<std::span<const std::byte>> pieces;
  for (const MappedSlab& slab : slabs) pieces.push_back(slab.bytes);
  if (handle_->mapped) handle_->mapped->fetch_ahead(std::move(pieces));
}

// In pieces: a slab can be most of a node's memory.
void File::verify_slab(const std::string& path, int64_t slab) const {
  const std::string name = type_name(path);
  const auto type = type_named(name);
  if (!type) handle_->fail("cannot verify " + handle_->where(path), "it holds " + name);
  const Extent extent = slab_extent(path, slab);
  const int64_t size = bytes_of(*type), step = std::min(extent.count, piece_bytes / size);
  std::vector<std::byte> piece(static_cast<size_t>(step * size));
  const HashState state;
  for (int64_t done = 0; done < extent.count; done += step) {
    const auto here = std::span(piece).first(static_cast<size_t>(std::min(extent.count - done, step) * size));
    read_raw(path, *type, extent.first + done, here);
    state.add(here);
  }
  compare(path, slab, extent.checksum, state.digest());
}

}  // namespace tightrope::h5
