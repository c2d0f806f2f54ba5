// Writing the content of a mapping to a file.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "content.h"
#include "digest.h"
#include "fd.h"
#include "file_writer.h"
#include "mapping.h"
#include "work.h"

namespace cryovm {

class Dump : public Work {
 public:
  // `chunk_bytes` of the digests; 0 for none.
  Dump(std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset, uint64_t chunk_bytes)
      : Work("dump", "writing guest memory"),
        mapping_(std::move(mapping)),
        size_(mapping_->size()),
        file_(std::in_place, std::move(fd)),
        file_offset_(file_offset),
        chunks_(chunk_bytes) {}

  // Once it has run.
  uint64_t written() const { return written_; }
  uint64_t skipped() const { return size_ - written_; }
  const std::vector<uint8_t>& digests() const { return digests_; }

 protected:
  void Do() override;
  void LetGo() override;

 private:
  // Writes the pages that are not zero.
  void Write(const Content& content);

  std::shared_ptr<Mapping> mapping_;
  const uint64_t size_;
  std::optional<FileWriter> file_;
  const uint64_t file_offset_;
  ChunkDigests chunks_;
  uint64_t written_ = 0;
  std::vector<uint8_t> digests_;
};

}  // namespace cryovm
