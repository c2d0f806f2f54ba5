// Packing pages behind each other into a file, with a table of runs that tells where they are from.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "digest.h"
#include "fd.h"
#include "file_writer.h"

namespace cryovm {

// Pages that are behind each other in memory and, where they are packed, in the file.
struct PackedRun {
  uint64_t offset, size;  // in memory
  bool is_zero;
  uint64_t file_offset;  // 0 of zeros
};

class PagePacker {
 public:
  // Without a descriptor nothing is written. `chunk_bytes` of the digests of what is packed; 0 for none.
  PagePacker(Fd fd, uint64_t file_offset, uint64_t chunk_bytes);

  // Offsets ascend from call to call. Throws Failure.
  // A page that is not all zero. The bytes have to stay until the next `Flush`.
  void AddPage(uint64_t offset, const uint8_t* page);
  void AddZeros(uint64_t offset, uint64_t size);

  // Writes what was added since the last time.
  void Flush();
  // Everything was added.
  void Finish();
  void CloseFile() { file_.reset(); }

  // After `Finish`.
  const std::vector<PackedRun>& runs() const { return runs_; }
  uint64_t packed_bytes() const { return packed_; }
  uint64_t zero_bytes() const { return zeros_; }
  const std::vector<uint8_t>& digests() const { return digests_; }

 private:
  void Gather(const uint8_t* page);

  std::optional<FileWriter> file_;
  const uint64_t file_offset_;
  ChunkDigests chunks_;
  std::vector<PackedRun> runs_;
  uint64_t packed_ = 0;
  uint64_t zeros_ = 0;
  std::vector<uint8_t> digests_;
  // Not written yet: the last of `packed_`.
  std::array<iovec, 1024> parts_;  // the most that the kernel takes
  size_t part_count_ = 0;
  uint64_t gathered_ = 0;
};

}  // namespace cryovm
