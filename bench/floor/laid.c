/*
 * The memory of a chain put together: the flat file mapped, and over it the runs of the layers, either mapped where they
 * are or read into pages of its own. Which is quicker depends on how many runs there are, and how long.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chain.h"
#include "floor.h"

/* A run in the midst of a mapping makes two mappings more, and there can only be so many. Some are for everything else. */
static size_t most_runs(void) {
  char text[32] = "65530";
  FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
  if (file != NULL && fgets(text, sizeof text, file) == NULL) fail("max_map_count");
  if (file != NULL) fclose(file);
  return strtoul(text, NULL, 10) / 2 - 1000;
}

static uint8_t *map_base(const struct chain *chain) {
  uint8_t *memory = mmap(NULL, chain->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, chain->base, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

static void map_runs(const struct chain *chain, uint8_t *memory) {
  for (size_t i = 0; i < chain->run_count; i++) {
    const struct run *run = &chain->runs[i];
    if (mmap(memory + (size_t)run->offset, (size_t)run->length, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, chain->layers[(int)run->file], (off_t)run->file_offset) ==
        MAP_FAILED) {
      fail("mmap of a run");
    }
  }
}

/* Runs of one layer lie behind each other in its file. */
static void read_layer(const struct chain *chain, uint8_t *memory, int layer) {
  struct iovec pieces[1024]; /* IOV_MAX */
  int count = 0;
  ssize_t length = 0;
  off_t from = 0;
  for (size_t i = 0; i <= chain->run_count; i++) {
    const struct run *run = i < chain->run_count ? &chain->runs[i] : NULL;
    if (run != NULL && (int)run->file != layer) continue;
    if (count > 0 && (run == NULL || count == 1024 || (off_t)run->file_offset != from + length)) {
      if (preadv(chain->layers[layer], pieces, count, from) != length) fail("preadv of a layer");
      count = 0;
    }
    if (run == NULL) return;
    if (count == 0) from = (off_t)run->file_offset, length = 0;
    pieces[count++] = (struct iovec){memory + (size_t)run->offset, (size_t)run->length};
    length += (ssize_t)run->length;
  }
}

void measure_laid(char **paths) {
  struct chain chain = open_chain(paths);
  if (chain.run_count <= most_runs()) {
    const uint64_t start = now();
    uint8_t *memory = map_base(&chain);
    map_runs(&chain, memory);
    report("map", now() - start);
    munmap(memory, chain.size);
  }
  const uint64_t start = now();
  uint8_t *memory = map_base(&chain);
  for (int layer = 0; chain.layers[layer] != 0; layer++) read_layer(&chain, memory, layer);
  report("read", now() - start);
  munmap(memory, chain.size);
  close_chain(&chain);
}
