// Structures of the KVM ABI that end in an array of any length, and their ioctls.
//
// Not linux/kvm.h's: several versions of that header declare such an array, seen from C++, one alignment step too
// late, which shifts the entries and changes the size that is part of the ioctl's number.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstdint>

namespace cryovm::abi {

struct MsrList {  // kvm_msr_list: followed by nmsrs indices
  uint32_t nmsrs;
};
struct Msrs {  // kvm_msrs: followed by nmsrs entries
  uint32_t nmsrs;
  uint32_t pad;
};
struct Cpuid2 {  // kvm_cpuid2: followed by nent entries
  uint32_t nent;
  uint32_t padding;
};
struct NestedState {  // kvm_nested_state: followed by data
  uint16_t flags;
  uint16_t format;
  uint32_t size;  // of all, with this header
  uint8_t hdr[120];
};
struct Xsave {  // kvm_xsave: may be longer (KVM_CAP_XSAVE2)
  uint32_t region[1024];
};

static_assert(sizeof(MsrList) == 4 && sizeof(Msrs) == 8 && sizeof(Cpuid2) == 8);
static_assert(sizeof(NestedState) == 128 && sizeof(Xsave) == 4096);
static_assert(sizeof(struct kvm_cpuid_entry2) == 40 && sizeof(struct kvm_msr_entry) == 16);

constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, MsrList);
constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, Cpuid2);
constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, Msrs);
constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, Msrs);
constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, Cpuid2);
constexpr unsigned long kGetCpuid2 = _IOWR(KVMIO, 0x91, Cpuid2);
constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, Xsave);
constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, Xsave);
constexpr unsigned long kGetXsave2 = _IOR(KVMIO, 0xcf, Xsave);
constexpr unsigned long kGetNestedState = _IOWR(KVMIO, 0xbe, NestedState);
constexpr unsigned long kSetNestedState = _IOW(KVMIO, 0xbf, NestedState);

}  // namespace cryovm::abi
