// What the addon exports. The contract is src/native.ts.

#include <napi.h>

#include "counters.h"
#include "exchange_paths.h"
#include "instance.h"
#include "kvm_host.h"
#include "map_memory.h"
#include "memory.h"
#include "vm_object.h"

namespace cryovm {
namespace {

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
  exports.Set("exchangePaths", Napi::Function::New<ExchangePaths>(env, "exchangePaths"));
  exports.Set("liveObjects", Napi::Function::New<LiveObjects>(env, "liveObjects"));
  return exports;
}

NODE_API_MODULE(cryovm, Init)

}  // namespace
}  // namespace cryovm
