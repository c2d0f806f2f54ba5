// One mapping of guest memory: no JavaScript in here, so that any thread may be the last to let go of it.
#pragma once

#include <cstdint>
#include <memory>

#include "fd.h"

namespace cryovm {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kHugePageSize = 2 * 1024 * 1024;

class Mapping {
 public:
  static std::shared_ptr<Mapping> Anonymous(uint64_t size);
  static std::shared_ptr<Mapping> PrivateFile(uint64_t size, int fd, uint64_t offset);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  uint8_t* base() const { return base_; }
  uint64_t size() const { return size_; }
  // The file that pages not written here still come from; -1 for anonymous memory.
  int backing_fd() const { return backing_.get(); }
  uint64_t backing_offset() const { return backing_offset_; }

 private:
  Mapping(uint64_t size, Fd backing, uint64_t backing_offset);

  uint8_t* base_ = nullptr;
  uint64_t size_;
  Fd backing_;
  uint64_t backing_offset_;
};

}  // namespace cryovm
