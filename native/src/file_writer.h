// Writing much to a file, front to back.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "fd.h"
#include "write_back.h"

namespace cryovm {

class FileWriter {
 public:
  explicit FileWriter(Fd fd) : fd_(std::move(fd)), write_back_(fd_.get()) {}

  // Writes parts of memory behind each other from `offset` on. At most IOV_MAX parts; they are used up by it. Throws
  // Failure.
  void Write(iovec* parts, size_t count, uint64_t offset);
  uint64_t written() const { return written_; }

 private:
  Fd fd_;
  WriteBack write_back_;  // behind the descriptor that it uses
  uint64_t written_ = 0;
};

}  // namespace cryovm
