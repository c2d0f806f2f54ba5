/*
 * The floor that cryovm is held against: each step done with nothing but the system calls it takes.
 *
 *   floor <folder with state.bin and memory.img>
 *
 * Reads one command a line and answers each with one line of JSON, nanoseconds by name. It stays alive between the
 * commands, so that its runs can alternate with cryovm's and neither pays for starting a process:
 *
 *   restore              create a VM, map memory, set all state, run to the first exit; then take it down
 *   load                 the same without running, for guests that exit who knows when
 *   state                get and set the whole state of one vCPU
 *   pause                stop a running vCPU
 *   dump <path> <MiB>    write memory of that size, a part of it touched, into a fresh file
 *   boot <text>          run a Linux guest until the text appears on its console
 *   discard <path>       give memory back, anonymous and from that file of 128 MiB
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
  set_memory_slot(&vm);
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
  set_memory_slot(&vm);
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  report("restore", now() - start);
  close_vm(&vm);
}

static void measure_state(const struct inputs *inputs) {
  struct vm vm = create_vm();
  map_memory(&vm, inputs);
  set_memory_slot(&vm);
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
  set_memory_slot(&vm);
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  measure_pause(&vm);
  close_vm(&vm);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: floor <folder with state.bin and memory.img>\n");
    return 2;
  }
  const struct inputs inputs = load_inputs(arguments[1]);
  char line[4200], path[4096];
  size_t mebibytes;
  while (fgets(line, sizeof line, stdin) != NULL) {
    separator = "";
    printf("{");
    if (strcmp(line, "restore\n") == 0) {
      measure_restore(&inputs);
    } else if (strcmp(line, "load\n") == 0) {
      measure_load(&inputs);
    } else if (strcmp(line, "state\n") == 0) {
      measure_state(&inputs);
    } else if (strcmp(line, "pause\n") == 0) {
      measure_stopping(&inputs);
    } else if (sscanf(line, "dump %4095s %zu", path, &mebibytes) == 2) {
      measure_dump(path, mebibytes << 20);
    } else if (sscanf(line, "boot %4095[^\n]", path) == 1) {
      measure_boot(&inputs, path);
    } else if (sscanf(line, "discard %4095s", path) == 1) {
      measure_discard(path);
    } else {
      fprintf(stderr, "floor: unknown command: %s", line);
      return 2;
    }
    printf("}\n");
    fflush(stdout);
  }
  return 0;
}
