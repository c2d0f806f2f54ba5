/*
 * The floor that cryovm is held against: each step done with nothing but the system calls it takes.
 *
 *   floor <folder with state.bin and memory.img>
 *
 * Reads one command a line, its words separated by tabs, and answers each with one line of JSON, nanoseconds by name. It
 * stays alive between the commands, so that its runs can alternate with cryovm's and neither pays for starting a process.
 * The commands are in the table below.
 */
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

void fail(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

int must(int result, const char *what) {
  if (result < 0) fail(what);
  return result;
}

uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static const char *separator;

void report(const char *name, uint64_t nanoseconds) {
  printf("%s\"%s\":%llu", separator, name, (unsigned long long)nanoseconds);
  separator = ",";
}

static void measure_restore(const struct inputs *inputs) {
  const uint64_t start = now();
  struct vm vm = create_vm();
  const uint64_t created = now();
  map_memory(&vm, inputs);
  set_memory_slot(&vm, 0);
  const uint64_t mapped = now();
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  const uint64_t set = now();
  must(ioctl(vm.vcpu, KVM_RUN, 0), "KVM_RUN");
  const uint64_t ran = now();
  if (vm.run->exit_reason != KVM_EXIT_IO) {
    fprintf(stderr, "floor: the guest stopped with exit reason %u\n", vm.run->exit_reason);
    exit(1);
  }
  close_vm(&vm);
  report("create", created - start);
  report("memory", mapped - created);
  report("state", set - mapped);
  report("first instruction", ran - set);
  report("total", ran - start);
  report("close", now() - ran);
}

static void measure_load(const struct inputs *inputs) {
  const uint64_t start = now();
  struct vm vm = create_vm();
  map_memory(&vm, inputs);
  set_memory_slot(&vm, 0);
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  report("restore", now() - start);
  close_vm(&vm);
}

static void measure_state(const struct inputs *inputs) {
  struct vm vm = create_vm();
  map_memory(&vm, inputs);
  set_memory_slot(&vm, 0);
  set_vcpu_state(&vm, inputs);
  const uint64_t start = now();
  get_state(&vm, inputs);
  const uint64_t got = now();
  set_vcpu_state(&vm, inputs);
  report("get", got - start);
  report("set", now() - got);
  close_vm(&vm);
}

static void measure_stopping(const struct inputs *inputs) {
  struct vm vm = create_vm();
  map_memory(&vm, inputs);
  set_memory_slot(&vm, 0);
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  measure_pause(&vm);
  close_vm(&vm);
}

static size_t mebibytes(const char *text) { return strtoul(text, NULL, 10) << 20; }

static void on_restore(const struct inputs *inputs, char **words) { (void)words, measure_restore(inputs); }
static void on_load(const struct inputs *inputs, char **words) { (void)words, measure_load(inputs); }
static void on_state(const struct inputs *inputs, char **words) { (void)words, measure_state(inputs); }
static void on_pause(const struct inputs *inputs, char **words) { (void)words, measure_stopping(inputs); }
static void on_boot(const struct inputs *inputs, char **words) { measure_boot(inputs, words[0]); }
static void on_dirty(const struct inputs *inputs, char **words) {
  measure_dirty(inputs, words[0], (unsigned)atoi(words[1]));
}
static void on_memcpy(const struct inputs *inputs, char **words) { (void)inputs, measure_memcpy(mebibytes(words[0])); }
static void on_dump(const struct inputs *inputs, char **words) {
  (void)inputs, measure_dump(words[0], mebibytes(words[1]));
}
static void on_diff(const struct inputs *inputs, char **words) {
  (void)inputs, measure_diff(words[0], mebibytes(words[1]), words + 2);
}
static void on_written(const struct inputs *inputs, char **words) {
  (void)inputs, measure_written(words[0], words[1], mebibytes(words[2]), words + 3);
}
static void on_laid(const struct inputs *inputs, char **words) { (void)inputs, measure_laid(words); }
static void on_digest(const struct inputs *inputs, char **words) {
  (void)inputs, measure_digest(words[0], mebibytes(words[1]));
}
static void on_flatten(const struct inputs *inputs, char **words) {
  (void)inputs, measure_flatten(words[0], words + 1);
}
static void on_discard(const struct inputs *inputs, char **words) { (void)inputs, measure_discard(words[0]); }

static const struct command {
  const char *name;
  int words; /* at least */
  void (*run)(const struct inputs *inputs, char **words);
} commands[] = {
    {"restore", 0, on_restore}, /* create a VM, map memory, set all state, run to the first exit; then take it down */
    {"load", 0, on_load},       /* the same without running, for guests that exit who knows when */
    {"state", 0, on_state},     /* get and set the whole state of one vCPU */
    {"pause", 0, on_pause},     /* stop a running vCPU */
    {"boot", 1, on_boot},       /* (text) run a Linux guest until the text appears on its console */
    {"dirty", 2, on_dirty},     /* (path, MiB) have guest/guest.S write into that much, and save what it wrote */
    {"memcpy", 1, on_memcpy},   /* (MiB) */
    {"dump", 2, on_dump},       /* (path, MiB) memory of that size into a fresh file */
    {"diff", 3, on_diff},       /* (path, MiB, percent...) the chosen pages of memory of that size, packed */
    {"written", 4, on_written}, /* (source, path, MiB, percent...) what was written to a mapping of a file, packed */
    {"laid", 2, on_laid},       /* (base, runs, layer...) map a chain; see chain.h */
    {"digest", 2, on_digest},   /* (path, MiB of a chunk) */
    {"flatten", 3, on_flatten}, /* (path, base, runs, layer...) a chain into one file */
    {"discard", 1, on_discard}, /* (path) give memory back, anonymous and from that file of 128 MiB */
};

static void execute(const struct inputs *inputs, char *line) {
  char *words[128] = {0}, *rest = line;
  int count = 0;
  line[strcspn(line, "\n")] = 0;
  while (count < 127 && (words[count] = strsep(&rest, "\t")) != NULL) count++;
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(commands[i].name, words[0]) != 0 || count - 1 < commands[i].words) continue;
    separator = "";
    printf("{");
    commands[i].run(inputs, words + 1);
    printf("}\n");
    fflush(stdout);
    return;
  }
  fprintf(stderr, "floor: unknown command, or too few words for it: %s\n", words[0]);
  exit(2);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: floor <folder with state.bin and memory.img>\n");
    return 2;
  }
  const struct inputs inputs = load_inputs(arguments[1]);
  char *line = NULL;
  size_t space = 0;
  while (getline(&line, &space, stdin) > 0) execute(&inputs, line);
  return 0;
}
