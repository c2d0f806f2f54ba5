// What the addon exports. The contract is src/native.ts.

#include <napi.h>

#include "arguments.h"
#include "counters.h"
#include "failure.h"
#include "instance.h"
#include "kvm_host.h"
#include "memory.h"
#include "vm_object.h"

namespace cryovm {
namespace {

Napi::Value MapMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const uint64_t size = ToUnsigned(info[0], "mapMemory", "size", uint64_t{1} << 46);
    const Napi::Object source = ToObject(info[1], "mapMemory", "source");
    const std::string kind = ToText(source.Get("kind"), "mapMemory", "source.kind");
    if (kind == "anonymous") return MemoryObject::Create(env, Mapping::Anonymous(size));
    if (kind == "memfd") return MemoryObject::Create(env, Mapping::Shared(size));
    if (kind != "file") throw Refusal("mapMemory", "source.kind must be \"anonymous\", \"memfd\" or \"file\"");
    const auto fd = static_cast<int>(ToUnsigned(source.Get("fd"), "mapMemory", "source.fd", INT32_MAX));
    const uint64_t offset = ToUnsigned(source.Get("offset"), "mapMemory", "source.offset");
    const Napi::Value limit = source.Get("maximumOverlays");
    const uint64_t overlays = limit.IsUndefined()
                                  ? Overlays::kDefaultLimit
                                  : ToUnsigned(limit, "mapMemory", "source.maximumOverlays", INT32_MAX);
    return MemoryObject::Create(env, Mapping::PrivateFile(size, fd, offset, overlays));
  });
}

Napi::Value LiveObjects(const Napi::CallbackInfo& info) {
  Napi::Object live = Napi::Object::New(info.Env());
  live.Set("vms", counters.vms.load());
  live.Set("memories", counters.memories.load());
  live.Set("threads", counters.threads.load());
  return live;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  const auto instance = Instance::Start(env);
  instance->memory_constructor = Napi::Persistent(MemoryObject::Define(env));
  instance->dump_constructor = Napi::Persistent(DumpObject::Define(env));
  instance->vm_constructor = Napi::Persistent(VmObject::Define(env));
  exports.Set("probeHost", Napi::Function::New<ProbeHost>(env, "probeHost"));
  exports.Set("mapMemory", Napi::Function::New<MapMemory>(env, "mapMemory"));
  exports.Set("createVm", Napi::Function::New<VmObject::Create>(env, "createVm"));
  exports.Set("liveObjects", Napi::Function::New<LiveObjects>(env, "liveObjects"));
  return exports;
}

NODE_API_MODULE(cryovm, Init)

}  // namespace
}  // namespace cryovm
