#include "memory.h"

#include <fcntl.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "failure.h"
#include "instance.h"

namespace cryovm {
namespace {

constexpr uint64_t kChunk = uint64_t{1} << 30;

// So that `setMemoryRegion` can tell a NativeMemory from anything else that JavaScript hands over.
constexpr napi_type_tag kMemoryTag = {0x6372796f766d6d65, 0x6d6f727900000001};

}  // namespace

Napi::Function MemoryObject::Define(Napi::Env env) {
  return DefineClass(env, "NativeMemory",
                     {
                         InstanceMethod<&MemoryObject::Window>("window"),
                         InstanceMethod<&MemoryObject::StartDump>("dump"),
                         InstanceMethod<&MemoryObject::ResidentBytes>("residentBytes"),
                         InstanceMethod<&MemoryObject::Close>("close"),
                     });
}

Napi::Value MemoryObject::Create(Napi::Env env, std::shared_ptr<Mapping> mapping) {
  return Instance::Of(env).memory_constructor.New({Napi::External<std::shared_ptr<Mapping>>::New(env, &mapping)});
}

MemoryObject::MemoryObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), buffers_(std::make_shared<BufferTable>()) {
  const Napi::Env env = info.Env();
  Guarded(env, [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) throw Refusal("NativeMemory", "made by mapMemory only");
    mapping_ = *info[0].As<Napi::External<std::shared_ptr<Mapping>>>().Data();
    Napi::Object self = info.This().As<Napi::Object>();
    self.TypeTag(&kMemoryTag);
    const uint64_t size = mapping_->size();
    Napi::Array chunks = Napi::Array::New(env);
    for (uint64_t at = 0; at < size; at += kChunk) {
      chunks.Set(static_cast<uint32_t>(at / kChunk),
                 buffers_->Make(env, mapping_->base() + at, std::min(kChunk, size - at), mapping_));
    }
    self.DefineProperties({
        Napi::PropertyDescriptor::Value("size", Napi::Number::New(env, static_cast<double>(size)), napi_enumerable),
        Napi::PropertyDescriptor::Value("chunks", chunks, napi_enumerable),
        Napi::PropertyDescriptor::Value("chunkBytes", Napi::Number::New(env, static_cast<double>(kChunk)),
                                        napi_enumerable),
    });
  });
}

std::shared_ptr<Mapping> MemoryObject::MappingOf(Napi::Value value, const char* operation) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kMemoryTag)) {
    throw Refusal(operation, "memory must come from mapMemory");
  }
  return Unwrap(value.As<Napi::Object>())->Open(operation);
}

std::shared_ptr<Mapping> MemoryObject::Open(const char* operation) const {
  if (mapping_ == nullptr) throw Refusal(operation, "this guest memory is closed");
  return mapping_;
}

Napi::Value MemoryObject::Window(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const auto mapping = Open("window");
    const uint64_t offset = ToUnsigned(info[0], "window", "offset", mapping->size());
    const uint64_t length = ToUnsigned(info[1], "window", "length", mapping->size() - offset);
    return buffers_->Make(env, mapping->base() + offset, length, mapping);
  });
}

Napi::Value MemoryObject::StartDump(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const auto mapping = Open("dump");
    const auto fd = static_cast<int>(ToUnsigned(info[0], "dump", "fd", INT32_MAX));
    const uint64_t offset = ToUnsigned(info[1], "dump", "fileOffset");
    // Its own descriptor, so that a file closed too early is an error at most and never another file written.
    Fd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!own) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, "starting to write guest memory");
    return DumpObject::Create(env, mapping, std::move(own), offset);
  });
}

Napi::Value MemoryObject::ResidentBytes(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto mapping = Open("residentBytes");
    uint64_t bytes = 0;
    for (const PageRange& range : PageMap().Find(mapping->base(), 0, mapping->size(), PageKind::kResident)) {
      bytes += range.end - range.start;
    }
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  });
}

Napi::Value MemoryObject::Close(const Napi::CallbackInfo& info) {
  buffers_->DetachAll(info.Env());
  mapping_.reset();
  return info.Env().Undefined();
}

}  // namespace cryovm
