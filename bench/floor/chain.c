/* What the floors of restoring and flattening a chain start from; opened before anything is measured. */
#include "chain.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "floor.h"

static int open_file(const char *path, size_t *size) {
  struct stat status;
  const int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
  must(fstat(fd, &status), path);
  *size = (size_t)status.st_size;
  return fd;
}

struct chain open_chain(char **paths) {
  struct chain chain = {0};
  size_t size;
  chain.base = open_file(*paths++, &chain.size);
  const int runs = open_file(*paths, &size);
  chain.runs = malloc(size + 1);
  if (chain.runs == NULL || read(runs, chain.runs, size) != (ssize_t)size) fail(*paths);
  chain.run_count = size / sizeof *chain.runs;
  close(runs);
  for (int *layer = chain.layers; *++paths != NULL; layer++) {
    if (layer == chain.layers + sizeof chain.layers / sizeof *chain.layers) fail("too many layers");
    *layer = open_file(*paths, &size);
  }
  return chain;
}

void close_chain(struct chain *chain) {
  close(chain->base);
  for (int *layer = chain->layers; *layer != 0; layer++) close(*layer);
  free(chain->runs);
}
