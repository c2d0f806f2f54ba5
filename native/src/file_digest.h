// Digests of what a file holds.
#pragma once

#include <cstdint>
#include <vector>

#include "digest.h"
#include "fd.h"
#include "page_range.h"
#include "work.h"

namespace cryovm {

class FileDigest : public Work {
 public:
  // `file`: of an open file description of its own, since its position is moved. `range` in whole pages; what of it is
  // behind the end of the file counts as a hole.
  FileDigest(Fd file, PageRange range, uint64_t chunk_bytes)
      : Work("digestFile", "digesting a file"), file_(std::move(file)), range_(range), chunks_(chunk_bytes) {}

  // Once it has run.
  const std::vector<uint8_t>& digests() const { return digests_; }

 protected:
  void Do() override;
  void LetGo() override { file_.Reset(); }

 private:
  // Returns how much of it the file has.
  uint64_t Read(uint64_t offset, uint64_t size, uint8_t* into) const;

  Fd file_;
  const PageRange range_;
  ChunkDigests chunks_;
  std::vector<uint8_t> digests_;
};

// Digests of bytes at hand, in whole pages.
std::vector<uint8_t> DigestBytes(const uint8_t* bytes, uint64_t size, uint64_t chunk_bytes);

}  // namespace cryovm
