#include "xxh3_avx2.h"

// Compiled with -mavx2, by which the header chooses. Nothing of the C++ library is included: a function that other files
// have too could end up being used from here, on a processor without AVX2.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace cryovm {

void UpdateXxh3Avx2(void* state, const void* data, size_t size) {
  static_assert(XXH_VECTOR == XXH_AVX2);
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state), data, size);
}

}  // namespace cryovm
