/* Making and closing a virtual machine: the same kernel objects that cryovm makes, in the same places. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor.h"

struct vm create_vm(void) {
  struct vm vm = {0};
  uint64_t identity_map = 0xfffbc000;
  struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
  vm.kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  vm.fd = must(ioctl(vm.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  must(ioctl(vm.fd, KVM_SET_TSS_ADDR, 0xfffbd000UL), "KVM_SET_TSS_ADDR");
  must(ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map), "KVM_SET_IDENTITY_MAP_ADDR");
  must(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  must(ioctl(vm.fd, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
  vm.vcpu = must(ioctl(vm.fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  vm.run_size = (size_t)must(ioctl(vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  vm.run = mmap(NULL, vm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu, 0);
  if (vm.run == MAP_FAILED) fail("mmap of kvm_run");
  return vm;
}

void map_memory(struct vm *vm, const struct inputs *inputs) {
  const int fd = must(open(inputs->memory_path, O_RDONLY | O_CLOEXEC), inputs->memory_path);
  vm->memory_size = inputs->memory_size;
  vm->memory = mmap(NULL, vm->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (vm->memory == MAP_FAILED) fail("mmap of the memory");
  close(fd);
}

void set_memory_slot(struct vm *vm, uint32_t flags) {
  struct kvm_userspace_memory_region region = {
      .flags = flags,
      .memory_size = vm->memory_size,
      .userspace_addr = (uint64_t)vm->memory,
  };
  must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

void close_vm(struct vm *vm) {
  munmap(vm->run, vm->run_size);
  close(vm->vcpu);
  close(vm->fd);
  close(vm->kvm);
  munmap(vm->memory, vm->memory_size);
}
