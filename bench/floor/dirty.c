/*
 * A diff snapshot of a running guest with nothing but the system calls it takes: the state, the dirty log, the dirty
 * pages packed into a file, and the log cleared. The guest is that of guest/guest.S, which waits for commands at COM1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "floor.h"
#include "pages.h"

enum { COM1 = 0x3f8, LSR = COM1 + 5, DATA_READY = 1 };

/* Lives as long as this process: its memory is written to again and again. */
static struct vm guest;
static uint64_t *bitmap;
static bool is_manual; /* KVM protects pages anew when it is told to */

static size_t pages(void) { return guest.memory_size / PAGE; }

static void clear_log(void) {
  if (!is_manual) return;
  struct kvm_clear_dirty_log clear = {.num_pages = (uint32_t)pages(), .dirty_bitmap = bitmap};
  must(ioctl(guest.fd, KVM_CLEAR_DIRTY_LOG, &clear), "KVM_CLEAR_DIRTY_LOG");
}

static void get_log(void) {
  struct kvm_dirty_log log = {.dirty_bitmap = bitmap};
  must(ioctl(guest.fd, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
}

static void start_guest(const struct inputs *inputs) {
  struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}};
  guest = create_vm();
  is_manual = ioctl(guest.fd, KVM_ENABLE_CAP, &manual) == 0;
  map_memory(&guest, inputs);
  set_memory_slot(&guest, KVM_MEM_LOG_DIRTY_PAGES);
  set_vcpu_state(&guest, inputs);
  set_vm_state(&guest, inputs);
  bitmap = calloc(pages() / 64 + 1, 8);
  if (bitmap == NULL) fail("calloc");
}

/* Has the guest take the bytes, until it answers. It is then in the midst of the answer. */
static void command_guest(const uint8_t *bytes, size_t count) {
  for (;;) {
    if (ioctl(guest.vcpu, KVM_RUN, 0) < 0 && errno != EINTR) fail("KVM_RUN");
    if (guest.run->exit_reason == KVM_EXIT_INTR) continue;
    if (guest.run->exit_reason != KVM_EXIT_IO) {
      fprintf(stderr, "floor: the guest stopped with exit reason %u\n", guest.run->exit_reason);
      exit(1);
    }
    uint8_t *data = (uint8_t *)guest.run + guest.run->io.data_offset;
    if (guest.run->io.direction == KVM_EXIT_IO_OUT) return;
    if (guest.run->io.port == LSR) *data = count > 0 ? DATA_READY : 0;
    if (guest.run->io.port == COM1 && count > 0) *data = *bytes++, count--;
  }
}

/* An access is complete only once KVM_RUN is entered again. */
static void park(void) {
  guest.run->immediate_exit = 1;
  if (ioctl(guest.vcpu, KVM_RUN, 0) == 0 || errno != EINTR) fail("KVM_RUN with immediate_exit");
  guest.run->immediate_exit = 0;
}

void measure_dirty(const struct inputs *inputs, const char *path, unsigned mebibytes) {
  if (guest.fd == 0) start_guest(inputs);
  const uint8_t command[] = {'p', (uint8_t)mebibytes, (uint8_t)(mebibytes >> 8)};
  command_guest(command, sizeof command);
  park();
  const int fd = must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);
  struct pack pack;
  const uint64_t start = now();
  get_state(&guest, inputs);
  get_log();
  pack_start(&pack, fd, guest.memory);
  pack_bitmap(&pack, bitmap, (pages() + 63) / 64);
  const off_t size = pack.end;
  pack_finish(&pack);
  clear_log();
  report("paused", now() - start);
  report("bytes", (uint64_t)size);
  /* Not closed, so that its pages stay: the snapshots of the other side are kept too, and memory that the kernel has not
     had in use before can cost many times as much where the machine itself is a guest. */
  unlink(path);
}
