/* The pages that changed into a file, packed: told by a bitmap, or found as what a private mapping of a file has of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor.h"
#include "pages.h"

/* linux/fs.h since Linux 6.7, which the C library's headers may not have. */
struct page_region {
  uint64_t start, end, categories;
};
struct pm_scan_arg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
enum { FROM_FILE = 1 << 2, PRESENT = 1 << 3, SWAPPED = 1 << 4 };
static const unsigned long PAGEMAP_SCAN_IOCTL = _IOWR('f', 16, struct pm_scan_arg);

static int new_file(const char *path) {
  return must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);
}

void measure_diff(const char *path, size_t size, char **percents) {
  uint8_t *memory = map_anonymous(size);
  memset(memory, 0xa5, size);
  const size_t words = size / PAGE / 64;
  uint64_t *bitmap = malloc(words * 8);
  if (bitmap == NULL) fail("malloc");
  for (; *percents != NULL; percents++) {
    memset(bitmap, 0, words * 8);
    for (size_t page = 0; page < size / PAGE; page++) {
      bitmap[page / 64] |= (uint64_t)is_chosen(page, (unsigned)atoi(*percents)) << page % 64;
    }
    const int fd = new_file(path);
    struct pack pack;
    const uint64_t start = now();
    pack_start(&pack, fd, memory);
    pack_bitmap(&pack, bitmap, words);
    pack_finish(&pack);
    report(*percents, now() - start);
    close(fd);
  }
  free(bitmap);
  munmap(memory, size);
  unlink(path);
}

/* Returns false where the kernel has no such call. */
static bool pack_written(struct pack *pack, int pagemap, uint8_t *memory, size_t size) {
  static struct page_region regions[4096];
  struct pm_scan_arg scan = {
      .size = sizeof scan,
      .start = (uint64_t)memory,
      .end = (uint64_t)memory + size,
      .vec = (uint64_t)regions,
      .vec_len = sizeof regions / sizeof *regions,
      .category_inverted = FROM_FILE,
      .category_mask = FROM_FILE,
      .category_anyof_mask = PRESENT | SWAPPED,
      .return_mask = PRESENT,
  };
  for (; scan.start < scan.end; scan.start = scan.walk_end) {
    const int found = ioctl(pagemap, PAGEMAP_SCAN_IOCTL, &scan);
    if (found < 0) return false;
    for (int i = 0; i < found; i++) {
      const size_t first = (regions[i].start - (uint64_t)memory) / PAGE;
      pack_pages(pack, first, (regions[i].end - regions[i].start) / PAGE);
    }
  }
  return true;
}

void measure_written(const char *source, const char *path, size_t size, char **percents) {
  const int file = must(open(source, O_RDONLY | O_CLOEXEC), source);
  const int pagemap = must(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "pagemap");
  for (; *percents != NULL; percents++) {
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (memory == MAP_FAILED) fail("mmap");
    for (size_t page = 0; page < size / PAGE; page++) {
      if (is_chosen(page, (unsigned)atoi(*percents))) memory[page * PAGE] = 1;
    }
    const int fd = new_file(path);
    struct pack pack;
    const uint64_t start = now();
    pack_start(&pack, fd, memory);
    const bool is_done = pack_written(&pack, pagemap, memory, size);
    pack_finish(&pack);
    if (is_done) report(*percents, now() - start);
    close(fd);
    munmap(memory, size);
  }
  close(pagemap);
  close(file);
  unlink(path);
}
