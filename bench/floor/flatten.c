/* A chain made into one flat file: the base without its holes, then the layers over it. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chain.h"
#include "floor.h"

static uint8_t buffer[1 << 20];

static void copy(int from, off_t from_offset, int to, off_t to_offset, size_t length) {
  while (length > 0) {
    const ssize_t got = pread(from, buffer, length < sizeof buffer ? length : sizeof buffer, from_offset);
    if (got <= 0) fail("pread");
    if (pwrite(to, buffer, (size_t)got, to_offset) != got) fail("pwrite");
    from_offset += got;
    to_offset += got;
    length -= (size_t)got;
  }
}

static void copy_data(int from, int to, size_t size) {
  for (off_t hole = 0; hole < (off_t)size;) {
    const off_t data = lseek(from, hole, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return; /* nothing but a hole is left */
    if (data < 0) fail("SEEK_DATA");
    hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0) fail("SEEK_HOLE");
    copy(from, data, to, data, (size_t)(hole - data));
  }
}

void measure_flatten(const char *path, char **paths) {
  struct chain chain = open_chain(paths);
  const uint64_t start = now();
  const int fd = must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);
  must(ftruncate(fd, (off_t)chain.size), "ftruncate");
  copy_data(chain.base, fd, chain.size);
  for (size_t i = 0; i < chain.run_count; i++) {
    const struct run *run = &chain.runs[i];
    copy(chain.layers[(int)run->file], (off_t)run->file_offset, fd, (off_t)run->offset, (size_t)run->length);
  }
  report("flatten", now() - start);
  must(fdatasync(fd), "fdatasync");
  report("durable", now() - start);
  close(fd);
  close_chain(&chain);
  unlink(path);
}
