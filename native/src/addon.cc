// What the addon exports. The contract is src/native.ts.

#include <napi.h>

#include "counters.h"
#include "digest_functions.h"
#include "exchange_paths.h"
#include "instance.h"
#include "job.h"
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
  instance->job_constructor = Napi::Persistent(JobObject::Define(env));
  instance->vm_constructor = Napi::Persistent(VmObject::Define(env));
  exports.Set("probeHost", Napi::Function::New<ProbeHost>(env, "probeHost"));
  exports.Set("mapMemory", Napi::Function::New<MapMemory>(env, "mapMemory"));
  exports.Set("createVm", Napi::Function::New<VmObject::Create>(env, "createVm"));
  exports.Set("digest", Napi::Function::New<Digest>(env, "digest"));
  exports.Set("digestFile", Napi::Function::New<DigestFile>(env, "digestFile"));
  exports.Set("exchangePaths", Napi::Function::New<ExchangePaths>(env, "exchangePaths"));
  exports.Set("liveObjects", Napi::Function::New<LiveObjects>(env, "liveObjects"));
  return exports;
}

NODE_API_MODULE(cryovm, Init)

}  // namespace
}  // namespace cryovm
