#pragma once

#include <stddef.h>

namespace cryovm {

// XXH3_128bits_update on processors with AVX2. `state` is a XXH3_state_t.
void UpdateXxh3Avx2(void* state, const void* data, size_t size);

}  // namespace cryovm
