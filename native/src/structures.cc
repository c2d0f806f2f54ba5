#include "structures.h"

#include <algorithm>
#include <cstring>

#include "kvm.h"
#include "kvm_abi.h"

namespace cryovm {
namespace {

// A structure of one fixed size that goes in and out as it is.
struct Plain {
  const char* name;
  size_t size;
  unsigned long get;
  unsigned long set;
  const char* get_name;
  const char* set_name;
};

#define PLAIN(name, type, get, set) {name, sizeof(struct type), get, set, #get, #set}

constexpr Plain kVcpuPlain[] = {
    PLAIN("regs", kvm_regs, KVM_GET_REGS, KVM_SET_REGS),
    PLAIN("sregs", kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS),
    PLAIN("sregs2", kvm_sregs2, KVM_GET_SREGS2, KVM_SET_SREGS2),
    PLAIN("fpu", kvm_fpu, KVM_GET_FPU, KVM_SET_FPU),
    PLAIN("xcrs", kvm_xcrs, KVM_GET_XCRS, KVM_SET_XCRS),
    PLAIN("debugregs", kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS),
    PLAIN("lapic", kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC),
    PLAIN("mp_state", kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE),
    PLAIN("vcpu_events", kvm_vcpu_events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS),
};

constexpr Plain kVmPlain[] = {
    PLAIN("pit2", kvm_pit_state2, KVM_GET_PIT2, KVM_SET_PIT2),
    PLAIN("clock", kvm_clock_data, KVM_GET_CLOCK, KVM_SET_CLOCK),
};

struct Chip {
  const char* name;
  uint32_t id;
};
constexpr Chip kChips[] = {
    {"pic_master", KVM_IRQCHIP_PIC_MASTER}, {"pic_slave", KVM_IRQCHIP_PIC_SLAVE}, {"ioapic", KVM_IRQCHIP_IOAPIC}};

template <typename Entry, size_t kCount>
const Entry* Find(const Entry (&table)[kCount], const std::string& name) {
  for (const Entry& entry : table) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

[[noreturn]] void Unknown(const char* operation, const std::string& name) {
  throw Refusal(operation, "there is no structure \"" + name + "\"");
}

std::vector<uint8_t> GetPlain(int fd, const Plain& plain) {
  std::vector<uint8_t> bytes(plain.size);
  KvmCall(fd, plain.get, plain.get_name, bytes.data(), (std::string("reading ") + plain.name).c_str());
  return bytes;
}

void RequireSize(const char* operation, const std::string& name, size_t want, size_t have) {
  if (want != have) {
    throw Refusal(operation, name + " has " + std::to_string(want) + " bytes, not " + std::to_string(have));
  }
}

void SetPlain(int fd, const Plain& plain, Bytes bytes) {
  RequireSize(plain.set_name, plain.name, plain.size, bytes.size);
  // A copy: the argument may be unaligned, and some of these ioctls write back.
  std::vector<uint8_t> copy(bytes.data, bytes.data + bytes.size);
  KvmCall(fd, plain.set, plain.set_name, copy.data(), (std::string("writing ") + plain.name).c_str());
}

// The size that this host's XSAVE area has; KVM_GET_XSAVE and 4096 bytes where KVM does not tell.
size_t XsaveSize(int vm, bool* extended) {
  const int size = CheckExtension(vm, KVM_CAP_XSAVE2);
  *extended = size > 0;
  return std::max(static_cast<size_t>(size), sizeof(abi::Xsave));
}

std::vector<uint8_t> GetXsave(int vm, int vcpu) {
  bool extended;
  std::vector<uint8_t> bytes(XsaveSize(vm, &extended));
  if (extended) {
    KvmCall(vcpu, abi::kGetXsave2, "KVM_GET_XSAVE2", bytes.data(), "reading xsave");
  } else {
    KvmCall(vcpu, abi::kGetXsave, "KVM_GET_XSAVE", bytes.data(), "reading xsave");
  }
  return bytes;
}

void SetXsave(int vm, int vcpu, Bytes bytes) {
  constexpr size_t kHeader = 576;  // the legacy area and the XSAVE header
  bool extended;
  const size_t size = XsaveSize(vm, &extended);
  if (bytes.size < kHeader) {
    throw Refusal("KVM_SET_XSAVE", "xsave has at least " + std::to_string(kHeader) + " bytes, not " +
                                       std::to_string(bytes.size));
  }
  // Saved on a host with a larger area: fine as long as what does not fit holds nothing.
  if (bytes.size > size &&
      std::any_of(bytes.data + size, bytes.data + bytes.size, [](uint8_t byte) { return byte != 0; })) {
    throw Refusal("KVM_SET_XSAVE", "xsave holds state beyond the " + std::to_string(size) + " bytes of this host");
  }
  std::vector<uint8_t> copy(size);
  std::memcpy(copy.data(), bytes.data, std::min(size, bytes.size));
  KvmCall(vcpu, abi::kSetXsave, "KVM_SET_XSAVE", copy.data(), "writing xsave");
}

constexpr size_t kCpuidEntry = sizeof(struct kvm_cpuid_entry2);

std::vector<uint8_t> GetCpuid(int vcpu) {
  for (uint32_t count = 64;; count *= 2) {
    std::vector<uint8_t> buffer(sizeof(abi::Cpuid2) + count * kCpuidEntry);
    auto* list = reinterpret_cast<abi::Cpuid2*>(buffer.data());
    list->nent = count;
    if (ioctl(vcpu, abi::kGetCpuid2, list) == 0) {
      const auto* first = reinterpret_cast<const uint8_t*>(list + 1);
      return std::vector<uint8_t>(first, first + list->nent * kCpuidEntry);
    }
    if (errno != E2BIG || count > 4096) throw SystemFailure("KVM_GET_CPUID2", errno, "reading cpuid2");
  }
}

void SetCpuid(int vcpu, Bytes bytes) {
  if (bytes.size % kCpuidEntry != 0 || bytes.size / kCpuidEntry > 4096) {
    throw Refusal("KVM_SET_CPUID2", "cpuid2 is an array of 40-byte entries, not " + std::to_string(bytes.size) + " bytes");
  }
  std::vector<uint8_t> buffer(sizeof(abi::Cpuid2) + bytes.size);
  auto* list = reinterpret_cast<abi::Cpuid2*>(buffer.data());
  list->nent = static_cast<uint32_t>(bytes.size / kCpuidEntry);
  if (bytes.size > 0) std::memcpy(list + 1, bytes.data, bytes.size);
  KvmCall(vcpu, abi::kSetCpuid2, "KVM_SET_CPUID2", list, "writing cpuid2");
}

std::vector<uint8_t> GetNested(int vm, int vcpu) {
  const int size = CheckExtension(vm, KVM_CAP_NESTED_STATE);
  if (size <= 0) throw Refusal("KVM_GET_NESTED_STATE", "this host has no nested state (KVM_CAP_NESTED_STATE is 0)");
  std::vector<uint8_t> bytes(std::max(static_cast<size_t>(size), sizeof(abi::NestedState)));
  auto* state = reinterpret_cast<abi::NestedState*>(bytes.data());
  state->size = static_cast<uint32_t>(bytes.size());
  KvmCall(vcpu, abi::kGetNestedState, "KVM_GET_NESTED_STATE", state, "reading nested_state");
  bytes.resize(std::min<size_t>(state->size, bytes.size()));
  return bytes;
}

void SetNested(int vcpu, Bytes bytes) {
  if (bytes.size < sizeof(abi::NestedState)) {
    throw Refusal("KVM_SET_NESTED_STATE", "nested_state has at least " +
                                              std::to_string(sizeof(abi::NestedState)) + " bytes, not " +
                                              std::to_string(bytes.size));
  }
  std::vector<uint8_t> copy(bytes.data, bytes.data + bytes.size);
  // The kernel reads as much as the structure says of itself.
  const auto* state = reinterpret_cast<const abi::NestedState*>(copy.data());
  RequireSize("KVM_SET_NESTED_STATE", "this nested_state", state->size, bytes.size);
  KvmCall(vcpu, abi::kSetNestedState, "KVM_SET_NESTED_STATE", copy.data(), "writing nested_state");
}

}  // namespace

const char* VcpuOperation(const std::string& name, bool set) {
  if (const Plain* plain = Find(kVcpuPlain, name)) return set ? plain->set_name : plain->get_name;
  if (name == "xsave") return set ? "KVM_SET_XSAVE" : "KVM_GET_XSAVE2";
  if (name == "cpuid2") return set ? "KVM_SET_CPUID2" : "KVM_GET_CPUID2";
  if (name == "nested_state") return set ? "KVM_SET_NESTED_STATE" : "KVM_GET_NESTED_STATE";
  Unknown(set ? "setVcpu" : "getVcpu", name);
}

std::vector<uint8_t> GetVcpuStructure(int vm, int vcpu, const std::string& name) {
  if (const Plain* plain = Find(kVcpuPlain, name)) return GetPlain(vcpu, *plain);
  if (name == "xsave") return GetXsave(vm, vcpu);
  if (name == "cpuid2") return GetCpuid(vcpu);
  if (name == "nested_state") return GetNested(vm, vcpu);
  Unknown("getVcpu", name);
}

void SetVcpuStructure(int vm, int vcpu, const std::string& name, Bytes bytes) {
  if (const Plain* plain = Find(kVcpuPlain, name)) return SetPlain(vcpu, *plain, bytes);
  if (name == "xsave") return SetXsave(vm, vcpu, bytes);
  if (name == "cpuid2") return SetCpuid(vcpu, bytes);
  if (name == "nested_state") return SetNested(vcpu, bytes);
  Unknown("setVcpu", name);
}

const char* VmOperation(const std::string& name, bool set) {
  if (const Plain* plain = Find(kVmPlain, name)) return set ? plain->set_name : plain->get_name;
  if (Find(kChips, name) != nullptr) return set ? "KVM_SET_IRQCHIP" : "KVM_GET_IRQCHIP";
  Unknown(set ? "setVm" : "getVm", name);
}

std::vector<uint8_t> GetVmStructure(int vm, const std::string& name) {
  if (const Plain* plain = Find(kVmPlain, name)) return GetPlain(vm, *plain);
  const Chip* chip = Find(kChips, name);
  if (chip == nullptr) Unknown("getVm", name);
  std::vector<uint8_t> bytes(sizeof(struct kvm_irqchip));
  reinterpret_cast<struct kvm_irqchip*>(bytes.data())->chip_id = chip->id;
  KVM_CALL(vm, KVM_GET_IRQCHIP, bytes.data(), ("reading " + name).c_str());
  return bytes;
}

void SetVmStructure(int vm, const std::string& name, Bytes bytes) {
  if (const Plain* plain = Find(kVmPlain, name)) return SetPlain(vm, *plain, bytes);
  const Chip* chip = Find(kChips, name);
  if (chip == nullptr) Unknown("setVm", name);
  RequireSize("KVM_SET_IRQCHIP", name, sizeof(struct kvm_irqchip), bytes.size);
  std::vector<uint8_t> copy(bytes.data, bytes.data + bytes.size);
  if (reinterpret_cast<const struct kvm_irqchip*>(copy.data())->chip_id != chip->id) {
    throw Refusal("KVM_SET_IRQCHIP", "these are the bytes of another chip than " + name);
  }
  KVM_CALL(vm, KVM_SET_IRQCHIP, copy.data(), ("writing " + name).c_str());
}

}  // namespace cryovm
