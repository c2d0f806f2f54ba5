/* Memory given back: touched first, then dropped, or anonymous memory laid over it where it comes from a file. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor.h"
#include "pages.h"

static const size_t MIB = 1 << 20;

/* bench/scenarios/discard.ts does the same. */
static const struct pattern {
  const char *name;
  size_t count, length, stride;
} patterns[] = {
    {"64 MiB", 1, 64 << 20, 64 << 20},
    {"32 x 2 MiB", 32, 2 << 20, 4 << 20},
    {"1,000 pages", 1000, PAGE, 2 * PAGE},
};

static uint64_t discard(const struct pattern *pattern, int fd) {
  const size_t size = 128 * MIB;
  const int flags = MAP_PRIVATE | MAP_NORESERVE;
  uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, fd < 0 ? flags | MAP_ANONYMOUS : flags, fd, 0);
  if (memory == MAP_FAILED) fail("mmap");
  for (size_t i = 0; i < pattern->count; i++) memset(memory + i * pattern->stride, 0xa5, pattern->length);
  const uint64_t start = now();
  for (size_t i = 0; i < pattern->count; i++) {
    uint8_t *at = memory + i * pattern->stride;
    if (fd < 0) {
      must(madvise(at, pattern->length, MADV_DONTNEED), "madvise");
    } else if (mmap(at, pattern->length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
               MAP_FAILED) {
      fail("mmap");
    }
  }
  const uint64_t took = now() - start;
  munmap(memory, size);
  return took;
}

void measure_discard(const char *path) {
  const int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
  char name[64];
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    strcpy(stpcpy(name, "fresh "), patterns[i].name);
    report(name, discard(&patterns[i], -1));
    strcpy(stpcpy(name, "file "), patterns[i].name);
    report(name, discard(&patterns[i], fd));
  }
  close(fd);
}
