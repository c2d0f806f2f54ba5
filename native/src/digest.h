// Digests of pages, chunk by chunk: XXH3-128, which is quicker than memory. It finds what was damaged, not what
// somebody forged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace cryovm {

// The digest of a chunk is that of its pages that are not all zero, each behind its number in the chunk (8 bytes,
// little endian). What is zero, a hole or not there is the same, and a chunk without anything has the digest of nothing.
class ChunkDigests {
 public:
  static constexpr size_t kDigestSize = 16;

  // 0: no digests.
  explicit ChunkDigests(uint64_t chunk_bytes);
  ~ChunkDigests();
  ChunkDigests(const ChunkDigests&) = delete;
  ChunkDigests& operator=(const ChunkDigests&) = delete;

  // `offset` from the start of the first chunk, ascending from call to call. The page must not be all zero.
  void Add(uint64_t offset, const uint8_t* page);
  // The digests of all chunks of `size` bytes, behind each other.
  std::vector<uint8_t> Finish(uint64_t size);

 private:
  struct State;

  // Ends the chunk under way and all before `chunk`.
  void EndBefore(uint64_t chunk);

  uint64_t chunk_bytes_;
  uint64_t chunk_start_ = 0;
  std::unique_ptr<State> state_;
  std::vector<uint8_t> digests_;
};

}  // namespace cryovm
