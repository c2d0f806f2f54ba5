#include "msrs.h"

#include <algorithm>
#include <cstring>

#include "kvm.h"
#include "kvm_abi.h"

namespace cryovm {
namespace {

constexpr size_t kBatch = 128;  // the kernel takes fewer than 256 at once

// Hands batches to the ioctl. It stops at the first entry it refuses and returns how many it did, so that the
// refused one is `entries[at + done]`: it is reported and left out, and the rest goes on behind it.
template <typename Done, typename Refused>
void InBatches(int vcpu, unsigned long request, const char* name, const char* doing,
               const std::vector<struct kvm_msr_entry>& entries, Done done_with, Refused refused) {
  std::vector<uint8_t> buffer(sizeof(abi::Msrs) + kBatch * sizeof(struct kvm_msr_entry));
  auto* batch = reinterpret_cast<abi::Msrs*>(buffer.data());
  auto* batch_entries = reinterpret_cast<struct kvm_msr_entry*>(batch + 1);
  size_t at = 0;
  while (at < entries.size()) {
    const size_t count = std::min(kBatch, entries.size() - at);
    batch->nmsrs = static_cast<uint32_t>(count);
    std::memcpy(batch_entries, &entries[at], count * sizeof(struct kvm_msr_entry));
    const auto done = static_cast<size_t>(KvmCall(vcpu, request, name, batch, doing));
    for (size_t i = 0; i < done; i++) done_with(batch_entries[i]);
    at += done;
    if (done < count) refused(entries[at++].index);
  }
}

}  // namespace

std::vector<struct kvm_msr_entry> GetMsrs(int vcpu, const std::vector<uint32_t>& indices,
                                          std::vector<uint32_t>* refused) {
  std::vector<struct kvm_msr_entry> wanted(indices.size());
  for (size_t i = 0; i < indices.size(); i++) wanted[i].index = indices[i];
  std::vector<struct kvm_msr_entry> got;
  got.reserve(wanted.size());
  InBatches(
      vcpu, abi::kGetMsrs, "KVM_GET_MSRS", "reading MSRs", wanted,
      [&](const struct kvm_msr_entry& entry) { got.push_back(entry); },
      [&](uint32_t index) { refused->push_back(index); });
  return got;
}

std::vector<uint32_t> SetMsrs(int vcpu, const std::vector<struct kvm_msr_entry>& entries) {
  std::vector<uint32_t> refused;
  InBatches(
      vcpu, abi::kSetMsrs, "KVM_SET_MSRS", "writing MSRs", entries, [](const struct kvm_msr_entry&) {},
      [&](uint32_t index) { refused.push_back(index); });
  return refused;
}

}  // namespace cryovm
