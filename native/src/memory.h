// NativeMemory: the JavaScript side of mappings.
#pragma once

#include <napi.h>

#include <memory>

#include "buffers.h"
#include "mapping.h"

namespace cryovm {

class MemoryObject : public Napi::ObjectWrap<MemoryObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Create(Napi::Env env, std::shared_ptr<Mapping> mapping);
  // The mapping of a NativeMemory; throws Failure with `operation` and `name` when it is something else or closed.
  static std::shared_ptr<Mapping> MappingOf(Napi::Value value, const char* operation, const char* name = "memory");

  explicit MemoryObject(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<Mapping> Open(const char* operation, const char* name = "this guest memory") const;
  Napi::Value Window(const Napi::CallbackInfo& info);
  Napi::Value Dump(const Napi::CallbackInfo& info);
  Napi::Value DumpDiff(const Napi::CallbackInfo& info);
  Napi::Value DiscardRanges(const Napi::CallbackInfo& info);
  Napi::Value ResidentBytes(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<BufferTable> buffers_;
};

}  // namespace cryovm
