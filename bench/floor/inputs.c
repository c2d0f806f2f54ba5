/* The prepared inputs: read once, before anything is measured. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "floor.h"

struct inputs load_inputs(const char *folder) {
  struct inputs inputs;
  char path[4096];
  struct stat status;

  snprintf(path, sizeof path, "%s/state.bin", folder);
  const int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
  must(fstat(fd, &status), path);
  const size_t size = (size_t)status.st_size;
  inputs.records = malloc(size);
  if (inputs.records == NULL) fail("malloc");
  if (read(fd, inputs.records, size) != (ssize_t)size) fail(path);
  inputs.end = inputs.records + size;
  close(fd);

  snprintf(inputs.memory_path, sizeof inputs.memory_path, "%s/memory.img", folder);
  must(stat(inputs.memory_path, &status), inputs.memory_path);
  inputs.memory_size = (size_t)status.st_size;
  return inputs;
}

static struct record *record_at(const struct inputs *inputs, uint8_t *at) {
  return at < inputs->end ? (struct record *)at : NULL;
}

struct record *first_record(const struct inputs *inputs) { return record_at(inputs, inputs->records); }

struct record *next_record(const struct inputs *inputs, struct record *record) {
  /* Padded to 8 bytes, so that every structure is aligned. */
  return record_at(inputs, record->data + ((record->length + 7) & ~(size_t)7));
}
