// One mapping of guest memory: no JavaScript in here, so that any thread may be the last to let go of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "fd.h"
#include "overlays.h"
#include "page_range.h"

namespace cryovm {

constexpr uint64_t kHugePageSize = 2 * 1024 * 1024;

enum class MappingKind {
  kAnonymous,
  kPrivateFile,
  kShared,  // a memfd of ours
};

class Mapping {
 public:
  static std::shared_ptr<Mapping> Anonymous(uint64_t size);
  static std::shared_ptr<Mapping> PrivateFile(uint64_t size, int fd, uint64_t offset, uint64_t maximum_overlays);
  static std::shared_ptr<Mapping> Shared(uint64_t size);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  uint8_t* base() const { return base_; }
  uint64_t size() const { return size_; }
  MappingKind kind() const { return kind_; }
  // The file that pages not written here still come from, or the memfd; -1 for anonymous memory.
  int backing_fd() const { return backing_.get(); }
  uint64_t backing_offset() const { return backing_offset_; }
  // Of a private file mapping: where it is anonymous memory instead. Held while that changes, and to look from another
  // thread than the one that changes it.
  std::mutex& overlays_mutex() { return overlays_mutex_; }
  Overlays& overlays() { return overlays_; }

 private:
  Mapping(uint64_t size, MappingKind kind, Fd backing, uint64_t backing_offset, uint64_t maximum_overlays = 0);

  uint8_t* base_ = nullptr;
  uint64_t size_;
  MappingKind kind_;
  Fd backing_;
  uint64_t backing_offset_;
  std::mutex overlays_mutex_;
  Overlays overlays_;
};

}  // namespace cryovm
