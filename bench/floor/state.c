/* State in and out: one ioctl a structure, straight from the bytes of the file, in the order they have there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "floor.h"

#ifndef KVM_GET_XSAVE2
#define KVM_GET_XSAVE2 _IOR(KVMIO, 0xcf, struct kvm_xsave)
#endif

static const struct structure {
  const char *name;
  unsigned long get, set;
} vcpu_structures[] = {
    {"cpuid2", KVM_GET_CPUID2, KVM_SET_CPUID2},
    {"mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE},
    {"regs", KVM_GET_REGS, KVM_SET_REGS},
    {"sregs2", KVM_GET_SREGS2, KVM_SET_SREGS2},
    {"xsave", KVM_GET_XSAVE2, KVM_SET_XSAVE},
    {"xcrs", KVM_GET_XCRS, KVM_SET_XCRS},
    {"debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS},
    {"lapic", KVM_GET_LAPIC, KVM_SET_LAPIC},
    {"msrs", KVM_GET_MSRS, KVM_SET_MSRS},
    {"vcpu_events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS},
}, vm_structures[] = {
    {"pit2", KVM_GET_PIT2, KVM_SET_PIT2},
    {"clock", KVM_GET_CLOCK, KVM_SET_CLOCK},
    {"irqchip", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct structure *find(const struct structure *list, size_t count, const struct record *record) {
  for (size_t i = 0; i < count; i++) {
    if (strncmp(list[i].name, record->name, sizeof record->name) == 0) return &list[i];
  }
  return NULL;
}

static void set_all(int fd, const struct structure *list, size_t count, const struct inputs *inputs) {
  for (struct record *record = first_record(inputs); record != NULL; record = next_record(inputs, record)) {
    const struct structure *structure = find(list, count, record);
    if (structure == NULL) continue;
    const int done = must(ioctl(fd, structure->set, record->data), structure->name);
    if (structure->set == KVM_SET_MSRS && (uint32_t)done != ((struct kvm_msrs *)record->data)->nmsrs) {
      fprintf(stderr, "floor: only %d MSRs were taken\n", done);
      exit(1);
    }
  }
}

void set_vcpu_state(struct vm *vm, const struct inputs *inputs) {
  set_all(vm->vcpu, vcpu_structures, COUNT(vcpu_structures), inputs);
}

void set_vm_state(struct vm *vm, const struct inputs *inputs) {
  set_all(vm->fd, vm_structures, COUNT(vm_structures), inputs);
}

void get_state(struct vm *vm, const struct inputs *inputs) {
  static _Alignas(64) uint8_t buffer[1 << 16];
  for (struct record *record = first_record(inputs); record != NULL; record = next_record(inputs, record)) {
    const struct structure *structure = find(vcpu_structures, COUNT(vcpu_structures), record);
    if (structure == NULL || record->length > sizeof buffer) continue;
    /* The lists say in their first bytes what is asked for. */
    memcpy(buffer, record->data, record->length);
    must(ioctl(vm->vcpu, structure->get, buffer), structure->name);
  }
}
