// Filling many scattered pages of a mapping, from files or with zeros.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "page_range.h"

namespace cryovm {

// Collects what is to be copied into batches, of which each is one preadv, and then works them off with two threads.
class Copier {
 public:
  explicit Copier(uint8_t* base) : base_(base) {}

  void Read(int fd, uint64_t offset, PageRange into) { Add(fd, offset, into); }
  void Zero(PageRange range) { Add(kZeros, 0, range); }

  // Throws Failure.
  void Run();

 private:
  static constexpr int kZeros = -1;
  struct Batch {
    int fd;
    uint64_t offset, size;
    size_t first, count;  // of parts_
  };
  void Add(int fd, uint64_t offset, PageRange into);
  bool Continues(const Batch& batch, int fd, uint64_t offset) const;
  void Work();
  void Fill(const Batch& batch);

  uint8_t* base_;
  std::vector<Batch> batches_;
  std::vector<iovec> parts_;
  std::atomic<size_t> next_{0};
};

}  // namespace cryovm
