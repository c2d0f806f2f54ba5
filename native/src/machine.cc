#include "machine.h"

#include "counters.h"
#include "dirty_log.h"
#include "kvm.h"

namespace cryovm {
namespace {

// Intel without unrestricted guest runs real mode in virtual-8086 mode and needs these four pages of guest-physical
// address space. Below the flash and APIC area, as every other user of KVM puts them; must be set before any vCPU.
constexpr uint64_t kIdentityMapAddress = 0xfffbc000;
constexpr uint64_t kTssAddress = 0xfffbd000;

}  // namespace

Machine::Machine(const std::string& path, uint32_t vcpu_count) {
  const Fd kvm = OpenKvm(path);
  // Interrupted by any signal to this process; KVM_CALL tries again.
  fd_ = Fd(KVM_CALL(kvm.get(), KVM_CREATE_VM, 0, "making a virtual machine"));
  has_manual_dirty_log_ = EnableManualDirtyLog(fd_.get());
  KVM_CALL(fd_.get(), KVM_SET_TSS_ADDR, kTssAddress, "placing the task state segment");
  KVM_CALL(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &kIdentityMapAddress, "placing the identity map");
  KVM_CALL(fd_.get(), KVM_CREATE_IRQCHIP, 0, "making the interrupt controllers");
  struct kvm_pit_config pit = {};
  pit.flags = KVM_PIT_SPEAKER_DUMMY;  // answers port 0x61 in the kernel, which Linux reads to calibrate its clock
  KVM_CALL(fd_.get(), KVM_CREATE_PIT2, &pit, "making the interval timer");
  const int run_size = KVM_CALL(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0, "asking for the size of struct kvm_run");
  for (uint32_t i = 0; i < vcpu_count; i++) {
    Fd vcpu(KVM_CALL(fd_.get(), KVM_CREATE_VCPU, static_cast<unsigned long>(i), "making a vCPU"));
    auto page = std::make_shared<RunPage>(vcpu.get(), static_cast<size_t>(run_size));
    vcpus_.push_back(std::make_unique<Vcpu>(std::move(vcpu), std::move(page)));
  }
  counters.vms++;
}

Machine::~Machine() { counters.vms--; }

void Machine::StartThreads(std::function<void()> signal) {
  signal_ = std::move(signal);
  running_ = static_cast<int>(vcpus_.size());
  for (size_t i = 0; i < vcpus_.size(); i++) {
    try {
      vcpus_[i]->StartThread(static_cast<int>(i), cells_.get(), signal_, [this] {
        if (running_.fetch_sub(1) != 1) return;
        Release();
        released_ = true;
        signal_();
      });
    } catch (const Failure&) {
      // Those already there have to go; none of them is the last, so that releasing is left to the destructor.
      for (size_t j = 0; j < i; j++) vcpus_[j]->AskLeave();
      for (size_t j = 0; j < i; j++) vcpus_[j]->Join();
      throw;
    }
  }
}

void Machine::AskLeave() {
  if (leaving_) return;
  leaving_ = true;
  for (const auto& vcpu : vcpus_) vcpu->AskLeave();
}

void Machine::Join() {
  for (const auto& vcpu : vcpus_) vcpu->Join();
}

// The virtual machine is gone when its own descriptor and those of all vCPUs are; only then is its memory let go of,
// so that KVM need not be told of every page that disappears.
void Machine::Release() {
  for (const auto& vcpu : vcpus_) vcpu->Release();
  fd_.Reset();
  slots_.clear();
}

bool Machine::all_parked() const {
  for (const auto& vcpu : vcpus_) {
    if (!vcpu->parked()) return false;
  }
  return true;
}

void Machine::SetRegion(uint32_t slot, uint32_t flags, uint64_t guest_address, std::shared_ptr<Mapping> mapping,
                        uint64_t offset, uint64_t size) {
  struct kvm_userspace_memory_region region = {};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = guest_address;
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<uint64_t>(mapping->base() + offset);
  KVM_CALL(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region,
           size == 0 ? "removing a memory slot" : "giving memory to the guest");
  if (size == 0) {
    slots_.erase(slot);
  } else {
    slots_[slot] = Slot{std::move(mapping), size};
  }
}

uint64_t Machine::SlotSize(uint32_t slot, const char* operation) const {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) throw Refusal(operation, "there is no memory slot " + std::to_string(slot));
  return found->second.size;
}

}  // namespace cryovm
