#include "digest.h"

// All of it becomes a part of this file, so that nothing has to be linked or installed to run it.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "page_range.h"
#include "xxh3_avx2.h"

namespace cryovm {

struct ChunkDigests::State {
  State() { XXH3_128bits_reset(&xxh); }

  void Update(const void* data, size_t size) {
    static const bool avx2 = __builtin_cpu_supports("avx2");
    if (avx2) {
      UpdateXxh3Avx2(&xxh, data, size);
    } else {
      XXH3_128bits_update(&xxh, data, size);
    }
  }

  XXH3_state_t xxh;
};

ChunkDigests::ChunkDigests(uint64_t chunk_bytes)
    : chunk_bytes_(chunk_bytes), state_(chunk_bytes == 0 ? nullptr : std::make_unique<State>()) {}

ChunkDigests::~ChunkDigests() = default;

void ChunkDigests::Add(uint64_t offset, const uint8_t* page) {
  if (chunk_bytes_ == 0) return;
  if (offset - chunk_start_ >= chunk_bytes_) EndBefore(offset / chunk_bytes_);
  uint64_t number = (offset - chunk_start_) / kPageSize;
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  state_->Update(&number, sizeof number);
  state_->Update(page, kPageSize);
}

void ChunkDigests::EndBefore(uint64_t chunk) {
  XXH128_canonical_t canonical;
  for (uint64_t ended = chunk_start_ / chunk_bytes_; ended < chunk; ended++) {
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->xxh));
    digests_.insert(digests_.end(), canonical.digest, canonical.digest + kDigestSize);
    XXH3_128bits_reset(&state_->xxh);
  }
  chunk_start_ = chunk * chunk_bytes_;
}

std::vector<uint8_t> ChunkDigests::Finish(uint64_t size) {
  if (chunk_bytes_ != 0) EndBefore((size + chunk_bytes_ - 1) / chunk_bytes_);
  return std::move(digests_);
}

}  // namespace cryovm
