#include "zero_page.h"

#include <immintrin.h>

#include "page_range.h"

namespace cryovm {
namespace {

__attribute__((target("avx2"))) bool IsZeroAvx2(const uint8_t* page) {
  const auto* vector = reinterpret_cast<const __m256i*>(page);
  for (uint64_t i = 0; i < kPageSize / 32; i += 8) {
    const __m256i a = _mm256_or_si256(_mm256_load_si256(vector + i), _mm256_load_si256(vector + i + 1));
    const __m256i b = _mm256_or_si256(_mm256_load_si256(vector + i + 2), _mm256_load_si256(vector + i + 3));
    const __m256i c = _mm256_or_si256(_mm256_load_si256(vector + i + 4), _mm256_load_si256(vector + i + 5));
    const __m256i d = _mm256_or_si256(_mm256_load_si256(vector + i + 6), _mm256_load_si256(vector + i + 7));
    const __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    if (!_mm256_testz_si256(all, all)) return false;
  }
  return true;
}

bool IsZeroPlain(const uint8_t* page) {
  const auto* words = reinterpret_cast<const uint64_t*>(page);
  for (uint64_t i = 0; i < kPageSize / 8; i += 16) {
    uint64_t all = 0;
    for (uint64_t j = 0; j < 16; j++) all |= words[i + j];
    if (all != 0) return false;
  }
  return true;
}

}  // namespace

bool IsZeroPage(const uint8_t* page) {
  static const bool avx2 = __builtin_cpu_supports("avx2");
  return avx2 ? IsZeroAvx2(page) : IsZeroPlain(page);
}

}  // namespace cryovm
