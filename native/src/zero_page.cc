#include "zero_page.h"

#include <immintrin.h>

#include <array>
#include <cstring>

#include "page_range.h"

namespace cryovm {
namespace {

__attribute__((target("avx2"))) bool IsZeroAvx2(const uint8_t* page) {
  const auto* vector = reinterpret_cast<const __m256i*>(page);
  for (uint64_t i = 0; i < kPageSize / 32; i += 8) {
    const __m256i a = _mm256_or_si256(_mm256_loadu_si256(vector + i), _mm256_loadu_si256(vector + i + 1));
    const __m256i b = _mm256_or_si256(_mm256_loadu_si256(vector + i + 2), _mm256_loadu_si256(vector + i + 3));
    const __m256i c = _mm256_or_si256(_mm256_loadu_si256(vector + i + 4), _mm256_loadu_si256(vector + i + 5));
    const __m256i d = _mm256_or_si256(_mm256_loadu_si256(vector + i + 6), _mm256_loadu_si256(vector + i + 7));
    const __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    if (!_mm256_testz_si256(all, all)) return false;
  }
  return true;
}

bool IsZeroPlain(const uint8_t* page) {
  for (uint64_t i = 0; i < kPageSize; i += 128) {
    std::array<uint64_t, 16> words;
    std::memcpy(words.data(), page + i, sizeof words);
    uint64_t all = 0;
    for (const uint64_t word : words) all |= word;
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
