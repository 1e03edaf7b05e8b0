#pragma once
// WeightBoard: the newest weights of one named parameter set, and the run's control words, one-sided.
// The publisher (trainer 0) packs version v into the next of three buffers of its own window part: stamp odd, bytes
// and a checksum per chunk, stamp even, then the control word.  Readers Get chunks, check them and re-read the stamp;
// lapped readers try again.  No reader ever makes the publisher wait.  DESIGN decision 7.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tightrope/base/mpi.hpp"

namespace tightrope {

class WeightBoard {
 public:
  enum class Precision { float32, bfloat16 };
  // Collective.  `publisher` is the rank that publishes `values` floats at a time.
  WeightBoard(const mpi::Comm& comm, int publisher, int64_t values, Precision precision = Precision::float32,
              int64_t chunk_bytes = 1 << 20);

  // One-sided memory that a board takes at its publisher with the default chunks.
  static int64_t bytes_for(int64_t values, Precision precision = Precision::float32);

  struct Control {
    int64_t version = -1;  // newest published; -1 = none yet
    int64_t phase = 0;     // lockstep: searchers may sample phase `phase` (from 1)
    int64_t step = 0;      // trainer 0's optimiser step
    bool stop = false;     // the run is over
  };

  // --- publisher ---
  void publish(int64_t version, std::span<const float> weights);  // buffers only; control says so next
  void set_control(const Control& control);                       // in order after publish

  // --- any rank ---
  Control control();
  // Copies the newest weights if they are newer than `have`; returns their version.  Never waits for long: after a
  // few laps it returns nothing and the caller tries again later.
  std::optional<int64_t> refresh(int64_t have, std::span<float> weights);
  uint64_t retries() const { return retries_; }  // refreshes that were lapped or torn

 private:
  struct ControlBlock;
  struct Stamps;
  ControlBlock read_control();
  std::span<std::byte> buffer(int64_t number);  // publisher: its own memory
  int64_t buffer_offset(int64_t number) const;
  int64_t chunks() const;
  int64_t packed_bytes() const;
  int64_t data_offset() const;  // within a buffer: after the stamps and the checksums
  int64_t buffer_bytes() const;
  bool fetch(int64_t number, int64_t version);  // a whole buffer into scratch_; false where it was lapped

  int publisher_;
  int64_t values_;
  Precision precision_;
  int64_t chunk_bytes_;
  mpi::Window window_;
  int64_t published_ = 0;  // how often; picks the buffer
  uint64_t retries_ = 0;
  std::vector<std::byte> scratch_;  // packed weights: the caller's span changes only when all of them are right
  std::vector<uint64_t> checksums_;
};

}  // namespace tightrope
