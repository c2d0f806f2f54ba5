// A regular file that guest memory is mapped from.
#pragma once

#include <cstdint>

#include "fd.h"

namespace cryovm {

struct BackingFile {
  Fd fd;
  uint64_t size = 0;

  // Opens the file of `fd` once more: looking for holes moves a position, which must not be the caller's. Throws Failure.
  static BackingFile Of(int fd);
};

}  // namespace cryovm
