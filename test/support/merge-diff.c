/* Merges a file of changed pages into one of all memory, as it is done by hand with the memory files of Firecracker:
 * whatever is data in the one is written to the other. Prints offset and length of each part.
 *
 *   merge-diff <changes> <memory>
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char buffer[1 << 20];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void copy(int from, int to, off_t offset, off_t end) {
  while (offset < end) {
    size_t length = end - offset < (off_t)sizeof buffer ? (size_t)(end - offset) : sizeof buffer;
    ssize_t got = pread(from, buffer, length, offset);
    if (got <= 0) fail("pread");
    if (pwrite(to, buffer, (size_t)got, offset) != got) fail("pwrite");
    offset += got;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int changes = open(argv[1], O_RDONLY);
  int memory = open(argv[2], O_RDWR);
  if (changes < 0 || memory < 0) fail("open");
  for (off_t end = 0;;) {
    off_t data = lseek(changes, end, SEEK_DATA);
    if (data < 0) {
      if (errno != ENXIO) fail("SEEK_DATA");
      return 0;
    }
    end = lseek(changes, data, SEEK_HOLE);
    if (end < 0) fail("SEEK_HOLE");
    copy(changes, memory, data, end);
    printf("%lld %lld\n", (long long)data, (long long)(end - data));
  }
}
