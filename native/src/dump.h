// Writing the content of a mapping to a file, on a thread of its own.
#pragma once

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "failure.h"
#include "fd.h"
#include "mapping.h"
#include "pagemap.h"

namespace cryovm {

class BackingReader;

class Dump {
 public:
  Dump(std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset)
      : mapping_(std::move(mapping)), fd_(std::move(fd)), file_offset_(file_offset) {}

  // The whole dump, in the caller's thread. Failure in `failure()`.
  void Run();

  void Abort() { aborted_ = true; }
  uint64_t scanned() const { return scanned_; }
  uint64_t written() const { return written_; }
  const std::optional<Failure>& failure() const { return failure_; }

 private:
  void WriteRange(uint64_t from, uint64_t to, PageMap& pages);
  void WriteAnonymous(uint64_t from, uint64_t to, PageMap& pages);
  void WritePrivateFile(uint64_t from, uint64_t to, PageMap& pages);
  void WriteShared(uint64_t from, uint64_t to);
  // What lies behind [from, to) of the mapping, without bringing it in.
  void CopyFromFile(uint64_t from, uint64_t to, BackingReader& backing);
  // Writes the pages that are not zero; `offset` is that of `data` in the mapping.
  void WriteData(const uint8_t* data, uint64_t size, uint64_t offset);
  void WriteAll(const uint8_t* data, uint64_t size, uint64_t file_offset);
  void CheckAborted() const;

  std::shared_ptr<Mapping> mapping_;
  Fd fd_;
  uint64_t file_offset_;
  std::atomic<bool> aborted_{false};
  std::atomic<uint64_t> scanned_{0};
  std::atomic<uint64_t> written_{0};
  uint64_t flushed_from_ = 0;  // of written_: what write-back was last asked for
  uint64_t unflushed_start_ = 0;
  std::unique_ptr<uint8_t, decltype(&std::free)> bounce_{nullptr, &std::free};
  std::optional<Failure> failure_;
};

}  // namespace cryovm
