// What lies over the file of a private mapping since it was made: runs of pages of other files, and of zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "backing_file.h"
#include "copier.h"
#include "file_data.h"
#include "mapping_share.h"
#include "page_range.h"

namespace cryovm {

struct LaidRun {
  static constexpr int32_t kZeros = -1;

  uint64_t start, end;  // in the mapping
  int32_t file;         // index, or kZeros
  uint64_t file_offset;
  // In pages of the mapping's own, instead of mapped: below them is still the file that the run is laid over.
  bool copied = false;

  uint64_t size() const { return end - start; }
};

class Laid {
 public:
  static constexpr uint64_t kDefaultLimit = 8192;

  Laid() = default;
  // `runs`: in whole pages, ascending, not overlapping, inside their files.
  Laid(std::vector<BackingFile> files, std::vector<LaidRun> runs) : files_(std::move(files)), runs_(std::move(runs)) {}

  // Lays runs over the mapping at `base`, which is of `file`: at most `limit` of them, the largest. All others are left
  // to be copied. Throws Failure.
  void Map(uint8_t* base, FileData& file, uint64_t limit);
  // Adds what is left to be copied.
  void Copy(Copier& copier, FileData& file) const;

  const std::vector<BackingFile>& files() const { return files_; }
  const std::vector<LaidRun>& runs() const { return runs_; }
  // Index of the first run that ends behind `offset`.
  size_t FirstBehind(uint64_t offset) const;
  uint64_t copied_bytes() const;

 private:
  std::vector<LaidRun*> RunsToMap(FileData& file, uint64_t limit);

  std::vector<BackingFile> files_;
  std::vector<LaidRun> runs_;
  MappingShare share_;
};

}  // namespace cryovm
