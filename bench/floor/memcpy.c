/* Memory copied to memory, both there already, by one thread: what this machine can do at most. */
#include <string.h>
#include <sys/mman.h>

#include "floor.h"
#include "pages.h"

void measure_memcpy(size_t size) {
  uint8_t *from = map_anonymous(size), *to = map_anonymous(size);
  memset(from, 0xa5, size);
  memset(to, 0x5a, size);
  const uint64_t start = now();
  memcpy(to, from, size);
  report("memcpy", now() - start);
  /* Read, so that nothing may leave the copy out. */
  if (*(volatile uint8_t *)(to + size - 1) != 0xa5) fail("memcpy");
  munmap(from, size);
  munmap(to, size);
}
