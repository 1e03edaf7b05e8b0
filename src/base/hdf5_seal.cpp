// The seal of a file that ranks write together: XXH3-64 of all that is no dataset's values, in front of the HDF5 file.
// HDF5 keeps no checksum of texts, and 1.10.8 hangs or crashes over some damaged files (found by fuzzing: a heap object
// of size 0, a damaged table of links): it gets to see none.
// The block of seal_bytes (a user block, which HDF5 and its tools skip), little-endian:
//   16 bytes  the mark
//   uint64    XXH3-64, seed 0, of what follows in the block and of all bytes after it but the extents
//   uint64    bytes of the whole file
//   uint64    number of extents, each with two uint64: first byte in the file, bytes; ascending
//   zeros
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "hdf5_handle.hpp"
#include "tightrope/base/mapped_file.hpp"

namespace tightrope::h5 {
namespace {

constexpr std::string_view mark = "tightrope seal 1";
constexpr std::string_view hdf5_mark = "\x89HDF\r\n\x1a\n";
constexpr size_t hash_at = 16, hashed_from = 24, extents_at = 40;
constexpr size_t most_extents = (seal_bytes - extents_at) / 16;

uint64_t word_at(std::span<const std::byte> bytes, size_t at) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

// The extents of a block; false where they are not ascending and apart, between the block and the end of the file.
bool read_extents(std::span<const std::byte> file, Extents& extents) {
  const uint64_t count = word_at(file, hashed_from + 8);
  if (count > most_extents) return false;
  uint64_t end = seal_bytes;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t first = word_at(file, extents_at + 16 * i), bytes = word_at(file, extents_at + 16 * i + 8);
    if (first < end || first > file.size() || bytes > file.size() - first) return false;
    end = first + bytes;
    extents.emplace_back(first, bytes);
  }
  return true;
}

// Of a file whose block is complete but for the hash.
uint64_t hash_of(std::span<const std::byte> file, const Extents& extents) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  uint64_t done = hashed_from;
  const auto add = [&](uint64_t end) { XXH3_64bits_update(state.get(), file.data() + done, end - done); };
  for (const auto& [first, bytes] : extents) {
    add(first);
    done = first + bytes;
  }
  add(file.size());
  return XXH3_64bits_digest(state.get());
}

bool write_at(const std::string& path, size_t at, std::span<const std::byte> bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  return file.good();
}

}  // namespace

std::string seal(const std::string& path, Extents extents) {
  std::ranges::sort(extents);
  if (extents.size() > most_extents) extents.clear();  // then all is hashed
  std::vector<std::byte> block(seal_bytes);
  const auto put = [&](size_t at, uint64_t word) { std::memcpy(block.data() + at, &word, sizeof word); };
  std::memcpy(block.data(), mark.data(), mark.size());
  put(hashed_from, MappedFile(path).bytes().size());
  put(hashed_from + 8, extents.size());
  for (size_t i = 0; i < extents.size(); ++i) {
    put(extents_at + 16 * i, extents[i].first);
    put(extents_at + 16 * i + 8, extents[i].second);
  }
  if (!write_at(path, 0, block)) return std::strerror(errno);
  const uint64_t hash = hash_of(MappedFile(path).bytes(), extents);
  return write_at(path, hash_at, std::as_bytes(std::span(&hash, 1))) ? "" : std::strerror(errno);
}

// The kernel is told of what is looked at: it would read megabytes around every page of it.
Seal look_at_seal(const std::string& path) {
  read_ahead(path, 0, seal_bytes);
  const MappedFile mapped(path);
  const auto file = mapped.bytes();
  if (begins_with(file, hdf5_mark)) return {};
  if (!begins_with(file, mark)) return {false, {}, "it is not an HDF5 file, or its head is damaged"};
  if (file.size() < seal_bytes || word_at(file, hashed_from) != file.size()) {
    return {false, {}, "it is truncated, or its head is damaged"};
  }
  Seal seal;
  seal.sealed = true;
  const bool whole = read_extents(file, seal.extents);
  uint64_t done = 0;
  for (const auto& [first, bytes] : seal.extents) {
    read_ahead(path, done, first - done);
    done = first + bytes;
  }
  read_ahead(path, done, file.size() - done);
  if (!whole || hash_of(file, seal.extents) != word_at(file, hash_at)) {
    seal.problem = "what it says about its datasets is damaged: it differs from its checksum";
  }
  return seal;
}

}  // namespace tightrope::h5
