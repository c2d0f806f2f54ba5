// Where a file holds data, and where it has holes.
#pragma once

#include <cstdint>
#include <optional>

#include "page_range.h"

namespace cryovm {

// Answers for one pass over a file that nobody writes to meanwhile; what the kernel said last is remembered.
class FileData {
 public:
  // Ranges are relative to `shift` in the file. `fd` stays the caller's; its position is moved.
  FileData(int fd, uint64_t shift) : fd_(fd), shift_(shift) {}

  // The first data in [from, to), in whole pages. Throws Failure.
  std::optional<PageRange> Next(uint64_t from, uint64_t to);

 private:
  void LookUp(uint64_t from);

  int fd_;
  uint64_t shift_;
  // Of what is known: a hole from the first to the second (if any), then data up to the third.
  uint64_t hole_start_ = 0, data_start_ = 0, data_end_ = 0;
};

}  // namespace cryovm
