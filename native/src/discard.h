// Giving host memory back: what the guest does not need any more reads as zero afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "mapping.h"

namespace cryovm {

struct Discarded {
  uint64_t discarded = 0;  // bytes that are zero and have no memory any more
  uint64_t zeroed = 0;     // bytes that are zero, but could not be given back
};

// `ranges`: in whole pages, ascending, not overlapping, not empty. Throws Failure; every page is then as it was, or zero.
Discarded Discard(Mapping& mapping, const std::vector<PageRange>& ranges);

}  // namespace cryovm
