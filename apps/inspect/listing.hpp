#pragma once
// What is in one HDF5 file of a run: attributes, datasets, and whether every slab still has its checksum.
#include <string>
#include <vector>

#include "tightrope/base/hdf5.hpp"

namespace tightrope::inspect {

struct Listing {
  std::string text;
  std::vector<std::string> damage;  // one sentence per damaged dataset
};
// Reads every dataset that has checksums.  `deck`: the whole deck, not only how many keys it has.
Listing list(const h5::File& file, bool deck);

// Every group ("/" too), and every dataset, in order.
std::vector<std::string> groups(const h5::File& file);
std::vector<std::string> datasets(const h5::File& file);

}  // namespace tightrope::inspect
