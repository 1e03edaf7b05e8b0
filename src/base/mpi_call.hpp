#pragma once
// Private to base/mpi*.cpp: every MPI call goes through check().
#define OMPI_SKIP_MPICXX  // its deprecated C++ classes only warn
#include <mpi.h>

#include <cstdint>
#include <limits>
#include <string>

#include "tightrope/base/mpi.hpp"

namespace tightrope::mpi {

// Throws Failure with the MPI library's own words where `code` is not MPI_SUCCESS.
void check(int code, const char* call);

// Counts in MPI 3 are int: longer transfers go in pieces of this many bytes.
constexpr int64_t piece_bytes = int64_t{1} << 30;

// Calls f(offset, count) over `total` elements of `element` bytes, in pieces.
template <class F>
void in_pieces(int64_t total, int64_t element, F&& f) {
  const int64_t most = piece_bytes / element;
  for (int64_t offset = 0; offset < total; offset += most) {
    f(offset, static_cast<int>(total - offset < most ? total - offset : most));
  }
}

struct Comm::Handle {
  MPI_Comm comm = MPI_COMM_NULL;
};

}  // namespace tightrope::mpi
