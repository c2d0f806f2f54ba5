// KVM's log of the pages that the guest wrote to: one bit a page, in whole 64-bit words.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cryovm {

// Asks that KVM protects pages anew only when told to. Whether it does so from now on.
bool EnableManualDirtyLog(int vm);

constexpr size_t DirtyLogSize(uint64_t pages) { return (pages + 63) / 64 * 8; }

// Both throw Failure. `bitmap` has DirtyLogSize bytes.
void GetDirtyLog(int vm, uint32_t slot, uint8_t* bitmap);
// Needs the manual log.
void ClearDirtyLog(int vm, uint32_t slot, uint64_t pages, const uint8_t* bitmap);

}  // namespace cryovm
