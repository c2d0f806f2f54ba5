// What lies behind the pages of a private file mapping that are not its own.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "file_data.h"
#include "mapping.h"
#include "page_range.h"

namespace cryovm {

// One pass over what lies behind a private file mapping: its file, and what is laid over it. For one thread.
class BackingReader {
 public:
  explicit BackingReader(const Mapping& mapping);

  // The first range in [from, to) that may hold something else than zeros, in whole pages. A page outside such ranges
  // that is dropped (MADV_DONTNEED) is zero.
  std::optional<PageRange> NextData(uint64_t from, uint64_t to);
  // Copies [offset, offset + size) as it is behind the mapping, holes as zeros.
  void Read(uint64_t offset, uint64_t size, uint8_t* into);

 private:
  // What is one thing behind [from, to): a run, or the file where there is none.
  struct Piece {
    const LaidRun* run;
    uint64_t end;
  };
  Piece PieceAt(uint64_t from, uint64_t to);
  std::optional<PageRange> NextDataOfRun(const LaidRun& run, uint64_t from, uint64_t to);

  const Mapping& mapping_;
  FileData file_;
  std::vector<FileData> laid_files_;
  size_t run_ = 0;  // where the run for the last offset was found
};

}  // namespace cryovm
