#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

namespace cryovm {

// KVM_GET_MSRS for each index; those the kernel refuses end up in `refused` and have no entry.
std::vector<struct kvm_msr_entry> GetMsrs(int vcpu, const std::vector<uint32_t>& indices,
                                          std::vector<uint32_t>* refused);

// KVM_SET_MSRS in order; returns the indices that the kernel refused.
std::vector<uint32_t> SetMsrs(int vcpu, const std::vector<struct kvm_msr_entry>& entries);

}  // namespace cryovm
