/* Memory into a file: what was never touched and what is zero is left out. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor.h"
#include "pages.h"

enum { LARGEST_WRITE = 4 << 20, ENTRIES = 4096 };

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

/* Reports under that name, and with the time until all is durable. */
static void dump_to(const char *path, const char *name, const uint8_t *memory, size_t size) {
  char durable[64];
  const int pagemap = must(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "pagemap");
  const int fd = must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);
  must(ftruncate(fd, (off_t)size), "ftruncate");
  const uint64_t start = now();
  dump(fd, pagemap, memory, size);
  report(name, now() - start);
  must(fdatasync(fd), "fdatasync");
  strcpy(stpcpy(durable, name), ", durable");
  report(durable, now() - start);
  close(fd);
  close(pagemap);
  unlink(path);
}

/* bench/scenarios/dump.ts does the same. */
void measure_dump(const char *path, size_t size) {
  uint8_t *memory = map_anonymous(size);
  memset(memory, 0xa5, size / 4);
  for (size_t at = size / 4; at < size / 4 + size / 8; at += PAGE) *(volatile uint8_t *)(memory + at) = 0;
  dump_to(path, "mixed", memory, size);
  memset(memory, 0xa5, size);
  dump_to(path, "all data", memory, size);
  munmap(memory, size);
}
