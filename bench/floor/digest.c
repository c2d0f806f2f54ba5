/* The digests of a memory file, by chunks: XXH3-128 of the pages that are not zero, each behind its number in the chunk. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "floor.h"
#include "pages.h"

/* Stays in the second-level cache between reading and hashing. */
enum { READ_SIZE = 256 << 10 };
static uint8_t buffer[READ_SIZE];

void measure_digest(const char *path, size_t chunk_size) {
  XXH3_state_t state;
  XXH128_canonical_t digest;
  struct stat status;
  uint32_t all = 0; /* of the first bytes of every digest, for comparison */
  const int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
  must(fstat(fd, &status), path);
  const uint64_t start = now();
  for (off_t at = 0; at < status.st_size;) {
    XXH3_128bits_reset(&state);
    const off_t end = at + (off_t)chunk_size < status.st_size ? at + (off_t)chunk_size : status.st_size;
    uint64_t page = 0;
    while (at < end) {
      const ssize_t got = pread(fd, buffer, end - at < READ_SIZE ? (size_t)(end - at) : READ_SIZE, at);
      if (got <= 0) fail(path);
      for (ssize_t offset = 0; offset < got; offset += PAGE, page++) {
        if (is_zero(buffer + offset)) continue;
        XXH3_128bits_update(&state, &page, sizeof page);
        XXH3_128bits_update(&state, buffer + offset, PAGE);
      }
      at += got;
    }
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&state));
    for (int i = 0; i < 4; i++) all ^= (uint32_t)digest.digest[i] << 8 * i;
  }
  report("digest", now() - start);
  report("all", all);
  close(fd);
}
