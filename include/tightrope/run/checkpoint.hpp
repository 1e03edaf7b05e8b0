#pragma once
// Checkpoint: everything that a restart needs, in one HDF5 file, checkpoint-<step>.h5.  Schema: docs/hdf5.md.
// Written as .tmp, read back, fsynced and renamed; then the text file LATEST names it.  A kill at any moment leaves
// the old one or the new one.  DESIGN decision 13.  All of this runs on the IoThread.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/hdf5.hpp"
#include "tightrope/base/mpi.hpp"
#include "tightrope/core/extent.hpp"
#include "tightrope/learn/replay_merge.hpp"

namespace tightrope {

class ReplayWindow;

// One named parameter set ("policy", "reference", "reward") with all that belongs to it, each array flat.
struct SavedParameters {
  struct Row {
    std::string name, group;
    std::vector<int64_t> shape;
    int64_t offset = 0;  // of its first value in every array
  };
  std::string name;
  std::vector<Row> rows;
  // "weights", "adam_first", "adam_second".  Read: (P) each.  To be written: this trainer's saved_share() of them.
  std::map<std::string, std::vector<float>> arrays;
};

// What trainer `trainer` of so many writes of an array of `values`.
inline Extent saved_share(int64_t values, int64_t trainer, int64_t trainers) {
  const int64_t first = values * trainer / trainers;
  return {first, values * (trainer + 1) / trainers - first};
}

struct CheckpointData {
  // The same on all trainers; trainer 0's are written.  Maps have the same names everywhere.
  std::string deck;                // resolved
  std::string task;                // its name in the deck
  std::vector<std::string> build;  // lines
  int64_t step = 0;                // optimiser steps done
  int64_t ranks = 1, trainers = 1, searchers = 1;
  std::vector<SavedParameters> parameters;
  std::map<std::string, double> scalars;
  std::map<std::string, int64_t> integers;
  std::map<std::string, int64_t> clocks;  // version of each parameter set
  std::vector<int64_t> searcher_cursors;  // one per searcher: what it samples next

  // This trainer's own.
  // Records packed one after another in the order of index.entries; as they were read, or one's own.
  h5::MappedSlab stored;
  BigVector<std::byte> records;
  BigVector<int64_t> offsets;  // (entries + 1) into them, from 0
  ReplayIndex::Snapshot index;
  std::map<std::string, std::vector<int64_t>> own;  // anything else, by name
  std::map<std::string, std::vector<double>> sums;  // what adds up over the trainers, by name
  int64_t left_out = 0;                             // read: records that the new stores had no room for

  void check_records() const {  // throws Failure where they are damaged
    if (stored.file) stored.verify();
  }
  std::span<const std::byte> packed() const { return stored.file ? stored.bytes : records; }
  std::span<const std::byte> record(size_t i) const {  // of entry i
    return packed().subspan(static_cast<size_t>(offsets[i]), static_cast<size_t>(offsets[i + 1] - offsets[i]));
  }
};

// Where checkpoints go, and which of them stay.
struct CheckpointPlace {
  std::string folder;
  std::string local;       // of the trainers' node: written there first, then copied to `folder`; "" = none
  int64_t keep = 1;        // that were written last
  int64_t keep_every = 0;  // updates: the first one of each such span after the first stays for good; 0 = none
};

struct WrittenCheckpoint {
  std::string path;    // in the folder
  int64_t bytes = 0;   // of the file
  double seconds = 0;  // until all of it was on the disk, the local one where there is one
};

// Collective over the trainers (a communicator of the I/O thread's own).  Throws Failure, naming file and dataset,
// where anything could not be written or read back; the checkpoints before are then still there.
WrittenCheckpoint write_checkpoint(const mpi::Comm& trainers, const CheckpointPlace& place, const CheckpointData& data);

// What trainer `trainer` of the same number of trainers needs.  Every checksum is verified, but that of the records:
// they may still be on their way, and restore_store() waits for them.  Throws Failure for a file that is damaged, that
// is no checkpoint, or that a newer program wrote.  That deck and sizes fit is for the caller to say: the file's own
// are in the answer.
CheckpointData read_checkpoint(const std::string& path, int64_t trainer);

// What a trainer needs whose store has other records than any of those that wrote the file: it reads their stores one
// by one and takes what `merge` says.  `sums` are those of all; `own` is left out.
CheckpointData read_checkpoint(const std::string& path, ReplayMerge& merge);

// The same without parameters and stores.
CheckpointData read_checkpoint_head(const std::string& path);

// Puts all records into an empty store and its index, and takes data.index.  Throws Failure where records are damaged
// or the index does not fit together.
void restore_store(CheckpointData& data, ReplayIndex& index, ReplayWindow& window);

// The checkpoint to restart from: what the newest LATEST of the folders names, else the other's, else the complete one
// of the highest step; "" where there is none.  Folders may be empty or absent.  Reads and verifies it whole; says in a
// sentence which damaged ones were skipped.  One rank calls.
std::string find_checkpoint(const std::vector<std::string>& folders,
                            const std::function<void(const std::string&)>& say);

}  // namespace tightrope
