// Finding what changed in a mapping, and writing it to a file.
#pragma once

#include <memory>
#include <optional>

#include "candidates.h"
#include "content.h"
#include "fd.h"
#include "mapping.h"
#include "page_packer.h"
#include "work.h"

namespace cryovm {

struct DiffOptions {
  Candidates candidates;
  std::shared_ptr<Mapping> baseline;  // of the same size, or null
  uint64_t chunk_bytes;               // of the digests; 0 for none
};

class Diff : public Work {
 public:
  // Without a descriptor nothing is written.
  Diff(std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset, DiffOptions options);

  // Once it has run.
  const PagePacker& packed() const { return packer_; }

 protected:
  void Do() override;
  void LetGo() override;

 private:
  // A stretch of both sides; null is all zeros.
  struct Stretch {
    uint64_t start, end;
    const uint8_t* data;
    const uint8_t* baseline;
  };

  void Look(const PageRange& range);
  Stretch NextStretch(uint64_t from, uint64_t to);
  void Add(const Stretch& stretch);

  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<Mapping> baseline_;
  const Candidates candidates_;
  // Without a baseline every candidate has changed; only with "all" that would be every page, so it is compared with
  // zeros.
  const bool is_compared_;
  PagePacker packer_;
  std::optional<ContentReader> reader_;
  std::optional<ContentReader> baseline_reader_;
};

}  // namespace cryovm
