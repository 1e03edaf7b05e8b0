#pragma once
// What the sources of the HDF5 wrapper share: owned identifiers, the file's handle, errors as Failures.
#define OMPI_SKIP_MPICXX  // MPI's deprecated C++ classes only warn
#include <hdf5.h>
#include <mpi.h>

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/base/hdf5.hpp"

namespace tightrope::h5 {

#ifdef H5_HAVE_PARALLEL
constexpr bool parallel_library = true;
#else
constexpr bool parallel_library = false;
#endif

// An HDF5 identifier with the call that closes it.
class Id {
 public:
  Id() = default;
  Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }  // NOLINT: an identifier is used as one
  hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

// The seal of a file that ranks write together (hdf5_seal.cpp).
constexpr size_t seal_bytes = 4096;
using Extents = std::vector<std::pair<uint64_t, uint64_t>>;  // first byte and bytes of datasets' values in the file
struct Seal {
  bool sealed = false;
  Extents extents;
  std::string problem;  // why HDF5 must not look into the file, or ""
};
Seal look_at_seal(const std::string& path);                  // of a regular file
std::string seal(const std::string& path, Extents extents);  // of a closed file; what went wrong, or ""

struct File::Handle {
  std::string path;
  Id file;
  bool sealed = false;
  Extents extents;
  const mpi::Comm* comm = nullptr;  // parallel files
  bool writable = false;
  std::map<std::string, Id> tables;            // open growing datasets
  mutable std::shared_ptr<MappedFile> mapped;  // once a slab was asked for

  // A serial HDF5 cannot write a file from several ranks: rank 0 has it and writes for all.
  bool gathers() const { return comm != nullptr && !parallel_library; }
  // Runs `work` on the ranks that have the file; what fails on rank 0 for all fails on all.
  template <class Work>
  void where_the_file_is(Work work) const;

  void seal_closed_file();                                              // once, where it is sealed
  bool write_all();                                                     // flush; false: the file can no longer be used
  Id& table(const std::string& name);                                   // of a growing dataset, opened once
  Id dataset(const std::string& name) const;                            // Failure where it is not there
  Id values(const std::string& name, Type type) const;                  // a dataset of one dimension and this type
  Id object(const std::string& name) const;                             // dataset or group
  void make_groups(const std::string& name);                            // and those above it, where they are not there
  Id make_dataset(const std::string& name, Type type, hsize_t values);  // one-dimensional, to be written whole
  // An attribute of a dataset or group, replaced: a list of `count` values, or one value that is no list.
  void put(const std::string& owner, const std::string& name, hid_t stored, hid_t memory, const void* values,
           std::optional<hsize_t> count = std::nullopt);
  std::string where(const std::string& name) const;                                       // "dataset '/x' of 'file'"
  [[noreturn]] void fail(const std::string& problem, const std::string& why = "") const;  // "": HDF5's own reason
};

// True where all ranks say so: what fails on one rank alone must not leave the others in the next collective call.
bool on_all(const mpi::Comm* comm, bool good);

template <class Work>
void File::Handle::where_the_file_is(Work work) const {
  if (!gathers()) return work();
  std::exception_ptr problem;
  if (comm->rank() == 0) {
    try {
      work();
    } catch (const Failure&) {
      problem = std::current_exception();
    }
  }
  if (on_all(comm, !problem)) return;
  if (problem) std::rethrow_exception(problem);
  fail("cannot write '" + path + "'", "rank 0, which writes it for all, could not");
}

// The innermost reason of HDF5's last failure, e.g. "No space left on device"; given once.
std::string last_error();

hid_t memory_type(Type type);
hid_t file_type(Type type);  // little-endian
int64_t bytes_of(Type type);
constexpr int64_t piece_bytes = int64_t{8} << 20;  // written, read back or sent at once; whole values of any type

uint64_t checksum_of(std::span<const std::byte> bytes);  // XXH3-64, seed 0

// "float64", "int64" ... of a stored type, or "another type".
std::string name_of(hid_t stored);
std::string name_of(Type type);
std::optional<Type> type_named(const std::string& name);

}  // namespace tightrope::h5
