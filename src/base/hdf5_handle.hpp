#pragma once
// What the sources of the HDF5 wrapper share: owned identifiers, the file's handle, errors as Failures.
#define OMPI_SKIP_MPICXX  // MPI's deprecated C++ classes only warn
#include <hdf5.h>

#include <map>
#include <string>
#include <utility>

#include "tightrope/base/hdf5.hpp"

namespace tightrope::h5 {

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

struct File::Handle {
  std::string path;
  Id file;
  const mpi::Comm* comm = nullptr;  // parallel files
  bool writable = false;
  std::map<std::string, Id> tables;  // open growing datasets

  bool write_all();                                  // flush; false: the file can no longer be used
  Id& table(const std::string& name);                // of a growing dataset, opened once
  Id dataset(const std::string& name) const;         // Failure where it is not there
  Id object(const std::string& name) const;          // dataset or group
  std::string where(const std::string& name) const;  // "dataset '/x' of 'file'"
  [[noreturn]] void fail(const std::string& problem, const std::string& why = "") const;  // "": HDF5's own reason
};

// The innermost reason of HDF5's last failure, e.g. "No space left on device"; given once.
std::string last_error();

hid_t memory_type(Type type);
hid_t file_type(Type type);  // little-endian
int64_t bytes_of(Type type);

// "float64", "int64" ... of a stored type, or "another type".
std::string name_of(hid_t stored);
std::string name_of(Type type);

}  // namespace tightrope::h5
