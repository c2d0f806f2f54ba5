/* Pages of guest memory: which are chosen, which are zero, and how they are packed into a file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { PAGE = 4096 };

/* Whether a page is among `percent` of a hundred, evenly spread; bench/pages.ts does the same. */
static inline bool is_chosen(size_t page, unsigned percent) { return page * percent % 100 < percent; }

bool is_zero(const uint8_t *page);

/* Private memory of that size, touched by nobody, in small pages as a guest's memory is. */
uint8_t *map_anonymous(size_t size);

/* A run of pages and where its content is, in bytes; what src/native.ts calls NativeRuns. File -1: zeros. */
struct run {
  double offset, length, file, file_offset;
};

/* Pages written behind each other into a file, and the runs that say where they belong. */
struct pack {
  int fd;
  const uint8_t *memory;
  off_t end; /* of what is written or waits to be */
  struct iovec waiting[1024]; /* IOV_MAX */
  int waiting_count;
  struct run *runs;
  size_t run_count, run_space;
};
void pack_start(struct pack *pack, int fd, const uint8_t *memory);
void pack_pages(struct pack *pack, size_t first, size_t count);
/* The same for the pages whose bits are set. */
void pack_bitmap(struct pack *pack, const uint64_t *bitmap, size_t words);
void pack_finish(struct pack *pack);
