#pragma once
// What this binary is made of; printed at the start of a run and written into every output.
#include <string>
#include <vector>

namespace tightrope {

// Version, git hash, build type, sanitizers, compiler, library versions, accelerator: one short line each, fixed at
// build time.  (The MPI library in use at run time: mpi::library_version().)
std::vector<std::string> build_lines();

}  // namespace tightrope
