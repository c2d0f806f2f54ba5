#pragma once

#include <cstdint>

namespace cryovm {

constexpr uint64_t kPageSize = 4096;

struct PageRange {
  uint64_t start;  // bytes from the start of what it is a part of, multiples of the page size
  uint64_t end;
};

}  // namespace cryovm
