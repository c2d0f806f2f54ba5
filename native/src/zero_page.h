#pragma once

#include <cstdint>

namespace cryovm {

// Whether the 4096 bytes at `page`, wherever that is, are all zero. Stops at the first that are not, so data costs little.
bool IsZeroPage(const uint8_t* page);

}  // namespace cryovm
