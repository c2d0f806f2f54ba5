/* The floor: the least that plain C needs for what cryovm does, on the same inputs. See floor.c. */
#pragma once

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the process with the name of what failed and errno: a floor that goes on after an error measures nothing. */
void fail(const char *what);
int must(int result, const char *what);

uint64_t now(void); /* nanoseconds of CLOCK_MONOTONIC */

/* Prints one member of the answer, {"name":nanoseconds,...}. */
void report(const char *name, uint64_t nanoseconds);

/* One record of inputs.bin: 16 bytes of name, u32 vcpu, u32 length, then the bytes. */
struct record {
  char name[16];
  uint32_t vcpu;
  uint32_t length;
  uint8_t data[];
};

/* What is restored: state.bin, read into memory beforehand, and memory.img. */
struct inputs {
  uint8_t *records, *end;
  char memory_path[4096];
  size_t memory_size;
};
struct inputs load_inputs(const char *folder);
struct record *first_record(const struct inputs *inputs);
struct record *next_record(const struct inputs *inputs, struct record *record); /* NULL after the last */

/* A virtual machine with one vCPU. */
struct vm {
  int kvm, fd, vcpu;
  struct kvm_run *run;
  size_t run_size;
  uint8_t *memory;
  size_t memory_size;
};
struct vm create_vm(void);
void map_memory(struct vm *vm, const struct inputs *inputs);
void set_memory_slot(struct vm *vm, uint32_t flags); /* KVM_MEM_LOG_DIRTY_PAGES or 0 */
void close_vm(struct vm *vm);

void get_state(struct vm *vm, const struct inputs *inputs);
void set_vcpu_state(struct vm *vm, const struct inputs *inputs);
void set_vm_state(struct vm *vm, const struct inputs *inputs);

void measure_pause(struct vm *vm);
void measure_boot(const struct inputs *inputs, const char *marker);
void measure_memcpy(size_t size);
void measure_dump(const char *path, size_t size);
void measure_diff(const char *path, size_t size, char **percents);
void measure_written(const char *source, const char *path, size_t size, char **percents);
void measure_laid(char **paths);
void measure_digest(const char *path, size_t chunk_size);
void measure_flatten(const char *path, char **paths);
void measure_dirty(const struct inputs *inputs, const char *path, unsigned mebibytes);
void measure_discard(const char *path);
