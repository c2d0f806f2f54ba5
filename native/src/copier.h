// Filling many scattered pages of a mapping, from files or with zeros.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "failure.h"
#include "page_range.h"

namespace cryovm {

// Collects what is to be copied into batches, each of which is one preadv. They are worked off by a thread of its own
// while its owner goes on with other things, and by the owner as well once that has nothing else to do.
class Copier {
 public:
  explicit Copier(uint8_t* base) : base_(base) {}
  // Ends the work wherever it is.
  ~Copier();
  Copier(const Copier&) = delete;
  Copier& operator=(const Copier&) = delete;

  void Read(int fd, uint64_t offset, PageRange into) { Add(fd, offset, into); }
  void Zero(PageRange range) { Add(kZeros, 0, range); }

  // What was added is all there is. The files have to stay open until `Finish` or the end of this.
  void Start();
  // All is done when this returns. Throws Failure, again on every call.
  void Finish();

 private:
  static constexpr int kZeros = -1;
  struct Batch {
    int fd;
    uint64_t offset, size;
    size_t first, count;  // of parts_
  };
  void Add(int fd, uint64_t offset, PageRange into);
  bool Continues(const Batch& batch, int fd, uint64_t offset) const;
  // Works off batches until none is left. Returns why not.
  std::optional<Failure> Work();
  void Fill(const Batch& batch);

  uint8_t* base_;
  std::vector<Batch> batches_;
  std::vector<iovec> parts_;
  std::atomic<size_t> next_{0};
  std::thread helper_;
  std::optional<Failure> failure_, failure_of_helper_;
};

}  // namespace cryovm
