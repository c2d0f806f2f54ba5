// NativeMemory and NativeDump: the JavaScript side of mappings and dumps.
#pragma once

#include <napi.h>

#include <memory>

#include "buffers.h"
#include "dump.h"
#include "mapping.h"

namespace cryovm {

class MemoryObject : public Napi::ObjectWrap<MemoryObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Create(Napi::Env env, std::shared_ptr<Mapping> mapping);
  // The mapping of a NativeMemory; throws Failure when it is something else or closed.
  static std::shared_ptr<Mapping> MappingOf(Napi::Value value, const char* operation);

  explicit MemoryObject(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<Mapping> Open(const char* operation) const;
  Napi::Value Window(const Napi::CallbackInfo& info);
  Napi::Value StartDump(const Napi::CallbackInfo& info);
  Napi::Value DiscardRanges(const Napi::CallbackInfo& info);
  Napi::Value ResidentBytes(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<BufferTable> buffers_;
};

class DumpJob;

class DumpObject : public Napi::ObjectWrap<DumpObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Create(Napi::Env env, std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset);

  explicit DumpObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value ScannedBytes(const Napi::CallbackInfo& info);
  Napi::Value Abort(const Napi::CallbackInfo& info);

  std::shared_ptr<DumpJob> job_;
};

}  // namespace cryovm
