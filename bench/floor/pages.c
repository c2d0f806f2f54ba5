/* Pages of guest memory, packed into a file: zero pages are only told, the others are written behind each other. */
#include "pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "floor.h"

bool is_zero(const uint8_t *page) {
  return *(const uint64_t *)page == 0 && memcmp(page, page + 8, PAGE - 8) == 0;
}

uint8_t *map_anonymous(size_t size) {
  uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  madvise(memory, size, MADV_NOHUGEPAGE);
  return memory;
}

void pack_start(struct pack *pack, int fd, const uint8_t *memory) {
  *pack = (struct pack){.fd = fd, .memory = memory};
}

static void write_waiting(struct pack *pack) {
  struct iovec *piece = pack->waiting, *const end = piece + pack->waiting_count;
  off_t at = pack->end;
  for (struct iovec *each = piece; each < end; each++) at -= (off_t)each->iov_len;
  while (piece < end) {
    ssize_t wrote = pwritev(pack->fd, piece, (int)(end - piece), at);
    if (wrote <= 0) fail("pwritev");
    at += wrote;
    for (; piece < end && (size_t)wrote >= piece->iov_len; piece++) wrote -= (ssize_t)piece->iov_len;
    if (wrote == 0) continue;
    piece->iov_base = (uint8_t *)piece->iov_base + wrote;
    piece->iov_len -= (size_t)wrote;
  }
  pack->waiting_count = 0;
}

static void add_run(struct pack *pack, size_t page, int file) {
  if (pack->run_count == pack->run_space) {
    pack->run_space = pack->run_space * 2 + 1024;
    pack->runs = realloc(pack->runs, pack->run_space * sizeof *pack->runs);
    if (pack->runs == NULL) fail("realloc");
  }
  pack->runs[pack->run_count++] =
      (struct run){(double)(page * PAGE), PAGE, file, file < 0 ? 0 : (double)pack->end};
}

static void pack_page(struct pack *pack, size_t page) {
  const uint8_t *bytes = pack->memory + page * PAGE;
  const int file = is_zero(bytes) ? -1 : 0;
  struct run *last = pack->run_count == 0 ? NULL : &pack->runs[pack->run_count - 1];
  const bool goes_on = last != NULL && last->file == file && last->offset + last->length == (double)(page * PAGE);
  if (goes_on) last->length += PAGE;
  else add_run(pack, page, file);
  if (file < 0) return;
  if (goes_on && pack->waiting_count > 0) {
    pack->waiting[pack->waiting_count - 1].iov_len += PAGE;
  } else {
    if (pack->waiting_count == sizeof pack->waiting / sizeof *pack->waiting) write_waiting(pack);
    pack->waiting[pack->waiting_count++] = (struct iovec){(void *)bytes, PAGE};
  }
  pack->end += PAGE;
}

void pack_pages(struct pack *pack, size_t first, size_t count) {
  for (size_t page = first; page < first + count; page++) pack_page(pack, page);
}

void pack_bitmap(struct pack *pack, const uint64_t *bitmap, size_t words) {
  for (size_t word = 0; word < words; word++) {
    for (uint64_t left = bitmap[word]; left != 0; left &= left - 1) {
      pack_page(pack, word * 64 + (size_t)__builtin_ctzll(left));
    }
  }
}

void pack_finish(struct pack *pack) {
  write_waiting(pack);
  free(pack->runs);
}
