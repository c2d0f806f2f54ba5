/* Memory into a file: what was never touched and what is zero is left out. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor.h"

enum { PAGE = 4096, LARGEST_WRITE = 4 << 20, ENTRIES = 4096 };

/* The first quarter is data and the eighth behind it is touched but zero; bench/scenarios/dump.ts does the same. */
static uint8_t *touched_memory(size_t size) {
  uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  madvise(memory, size, MADV_NOHUGEPAGE);
  memset(memory, 0xa5, size / 4);
  for (size_t at = size / 4; at < size / 4 + size / 8; at += PAGE) *(volatile uint8_t *)(memory + at) = 0;
  return memory;
}

static int is_zero(const uint8_t *page) { return *(const uint64_t *)page == 0 && memcmp(page, page + 8, PAGE - 8) == 0; }

static void write_range(int fd, const uint8_t *memory, size_t from, size_t to) {
  while (from < to) {
    const size_t size = to - from < LARGEST_WRITE ? to - from : LARGEST_WRITE;
    const ssize_t wrote = pwrite(fd, memory + from, size, (off_t)from);
    if (wrote <= 0) fail("pwrite");
    from += (size_t)wrote;
  }
}

static void dump(int fd, int pagemap, const uint8_t *memory, size_t size) {
  static uint64_t entries[ENTRIES];
  const size_t first = (size_t)memory / PAGE;
  size_t start = 0; /* of the data not written yet, which ends at `page` */
  for (size_t page = 0; page < size / PAGE; page++) {
    if (page % ENTRIES == 0 && pread(pagemap, entries, sizeof entries, (off_t)((first + page) * 8)) <= 0) fail("pagemap");
    const int is_touched = (entries[page % ENTRIES] >> 62) != 0;
    if (is_touched && !is_zero(memory + page * PAGE)) continue;
    write_range(fd, memory, start * PAGE, page * PAGE);
    start = page + 1;
  }
  write_range(fd, memory, start * PAGE, size);
}

void measure_dump(const char *path, size_t size) {
  uint8_t *memory = touched_memory(size);
  const int pagemap = must(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "pagemap");
  const int fd = must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);
  must(ftruncate(fd, (off_t)size), "ftruncate");
  const uint64_t start = now();
  dump(fd, pagemap, memory, size);
  report("dump", now() - start);
  if (fdatasync(fd) != 0) fail("fdatasync");
  report("durable", now() - start);
  close(fd);
  close(pagemap);
  unlink(path);
  munmap(memory, size);
}
