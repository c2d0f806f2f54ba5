/* A chain of snapshots' memory: a flat file, and what its layers lay over it, already composed. */
#pragma once

#include "pages.h"

struct chain {
  int base;
  size_t size;
  struct run *runs; /* ascending; the file of each is an index into `layers`, none is of zeros */
  size_t run_count;
  int layers[64];
};

/* From the paths of base, runs (as an array of them lies in memory) and layers; the last is NULL. */
struct chain open_chain(char **paths);
void close_chain(struct chain *chain);
