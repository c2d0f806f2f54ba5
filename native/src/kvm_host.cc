#include "kvm_host.h"

#include <sys/utsname.h>

#include <cstring>
#include <vector>

#include "arguments.h"
#include "capabilities.h"
#include "kvm.h"
#include "kvm_abi.h"

namespace cryovm {
namespace {

Napi::Array MsrIndices(Napi::Env env, int kvm) {
  // With room for none, the kernel only says how many there are.
  abi::MsrList none = {};
  if (ioctl(kvm, abi::kGetMsrIndexList, &none) < 0 && errno != E2BIG) {
    throw SystemFailure("KVM_GET_MSR_INDEX_LIST", errno, "asking which MSRs can be saved");
  }
  std::vector<uint32_t> buffer(1 + none.nmsrs);
  buffer[0] = none.nmsrs;
  KvmCall(kvm, abi::kGetMsrIndexList, "KVM_GET_MSR_INDEX_LIST", buffer.data(), "asking which MSRs can be saved");
  Napi::Array indices = Napi::Array::New(env, buffer[0]);
  for (uint32_t i = 0; i < buffer[0]; i++) indices.Set(i, buffer[1 + i]);
  return indices;
}

Napi::Uint8Array SupportedCpuid(Napi::Env env, int kvm) {
  for (uint32_t count = 64;; count *= 2) {
    std::vector<uint8_t> buffer(sizeof(abi::Cpuid2) + count * sizeof(struct kvm_cpuid_entry2));
    auto* list = reinterpret_cast<abi::Cpuid2*>(buffer.data());
    list->nent = count;
    if (ioctl(kvm, abi::kGetSupportedCpuid, list) == 0) {
      return FromBytes(env, list + 1, list->nent * sizeof(struct kvm_cpuid_entry2));
    }
    if (errno != E2BIG || count > 4096) {
      throw SystemFailure("KVM_GET_SUPPORTED_CPUID", errno, "asking which CPU features a guest can have");
    }
  }
}

}  // namespace

Napi::Value ProbeHost(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const Fd kvm = OpenKvm(ToText(info[0], "probeHost", "path"));
    Napi::Object capabilities = Napi::Object::New(env);
    for (const Capability& each : kCapabilities) capabilities.Set(each.name, CheckExtension(kvm.get(), each.number));
    struct utsname names = {};
    uname(&names);
    Napi::Object probe = Napi::Object::New(env);
    probe.Set("apiVersion", KVM_API_VERSION);
    probe.Set("capabilities", capabilities);
    probe.Set("msrIndices", MsrIndices(env, kvm.get()));
    probe.Set("supportedCpuid", SupportedCpuid(env, kvm.get()));
    probe.Set("kernelRelease", std::string(names.release));
    return probe;
  });
}

}  // namespace cryovm
