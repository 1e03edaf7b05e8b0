#pragma once
// What differs between two checkpoints.
#include <set>
#include <string>
#include <vector>

#include "tightrope/base/hdf5.hpp"

namespace tightrope::inspect {

// One line per difference, none where there is none: attributes, keys of the deck, values of datasets (the largest
// difference and where it is), records as a multiset.  Slots and tickets say where a record lies, not what it is, and
// how datasets are cut into slabs follows from the number of trainers: neither is compared.  `ignored`: names of
// attributes, keys of the deck, paths of datasets.
std::vector<std::string> differences(const h5::File& a, const h5::File& b, const std::set<std::string>& ignored);

// The records alone: how many are only in a, only in b, and the first few of each.
std::vector<std::string> record_differences(const h5::File& a, const h5::File& b);

// Whether a dataset belongs to the table of records: then record_differences() compares it.
bool of_records(const h5::File& file, const std::string& path);

}  // namespace tightrope::inspect
