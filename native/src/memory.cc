#include "memory.h"

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "discard.h"
#include "dump_functions.h"
#include "failure.h"
#include "instance.h"
#include "pagemap.h"

namespace cryovm {
namespace {

// So that `setMemoryRegion` can tell a NativeMemory from anything else that JavaScript hands over.
constexpr napi_type_tag kMemoryTag = {0x6372796f766d6d65, 0x6d6f727900000001};

uint64_t ToPages(double number, uint64_t max, const char* what, size_t index) {
  const bool fits = number >= 0 && number <= static_cast<double>(max);
  const uint64_t bytes = fits ? static_cast<uint64_t>(number) : 0;
  if (!fits || static_cast<double>(bytes) != number || bytes % kPageSize != 0) {
    throw Refusal("discard", std::string(what) + " of range " + std::to_string(index) +
                                 " must be a multiple of 4096 from 0 to " + std::to_string(max));
  }
  return bytes;
}

// Pairs of offset and length.
std::vector<PageRange> ToRanges(Napi::Value value, uint64_t size) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw Refusal("discard", "ranges must be a Float64Array");
  }
  const auto numbers = value.As<Napi::Float64Array>();
  const size_t count = numbers.ElementLength();
  if (count % 2 != 0) throw Refusal("discard", "ranges must be pairs of offset and length");
  const double* data = numbers.Data();
  std::vector<PageRange> ranges;
  ranges.reserve(count / 2);
  uint64_t last = 0;
  for (size_t i = 0; i < count / 2; i++) {
    const uint64_t start = ToPages(data[2 * i], size, "the offset", i);
    const uint64_t length = ToPages(data[2 * i + 1], size - start, "the length", i);
    if (length == 0) throw Refusal("discard", "range " + std::to_string(i) + " is empty");
    if (start < last) {
      throw Refusal("discard", "range " + std::to_string(i) + " begins before the end of the one before it");
    }
    last = start + length;
    ranges.push_back({start, last});
  }
  return ranges;
}

}  // namespace

Napi::Function MemoryObject::Define(Napi::Env env) {
  return DefineClass(env, "NativeMemory",
                     {
                         InstanceMethod<&MemoryObject::Window>("window"),
                         InstanceMethod<&MemoryObject::Dump>("dump"),
                         InstanceMethod<&MemoryObject::DumpDiff>("dumpDiff"),
                         InstanceMethod<&MemoryObject::DiscardRanges>("discard"),
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
    const auto number = [&](uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); };
    self.DefineProperties({
        Napi::PropertyDescriptor::Value("size", number(mapping_->size()), napi_enumerable),
        Napi::PropertyDescriptor::Value("copiedBytes", number(mapping_->laid().copied_bytes()), napi_enumerable),
    });
  });
}

std::shared_ptr<Mapping> MemoryObject::MappingOf(Napi::Value value, const char* operation, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kMemoryTag)) {
    throw Refusal(operation, std::string(name) + " must come from mapMemory");
  }
  return Unwrap(value.As<Napi::Object>())->Open(operation, name);
}

std::shared_ptr<Mapping> MemoryObject::Open(const char* operation, const char* name) const {
  if (mapping_ == nullptr) throw Refusal(operation, std::string(name) + " is closed");
  mapping_->Complete();
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

Napi::Value MemoryObject::Dump(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return StartDump(info, Open("dump")); });
}

Napi::Value MemoryObject::DumpDiff(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return StartDumpDiff(info, Open("dumpDiff")); });
}

Napi::Value MemoryObject::DiscardRanges(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto mapping = Open("discard");
    const Discarded discarded = Discard(*mapping, ToRanges(info[0], mapping->size()));
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("discardedBytes", static_cast<double>(discarded.discarded));
    result.Set("zeroedBytes", static_cast<double>(discarded.zeroed));
    return result;
  });
}

Napi::Value MemoryObject::ResidentBytes(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto mapping = Open("residentBytes");
    const uint64_t size = mapping->size();
    const uint64_t offset = info[0].IsUndefined() ? 0 : ToUnsigned(info[0], "residentBytes", "offset", size);
    const uint64_t length =
        info[1].IsUndefined() ? size - offset : ToUnsigned(info[1], "residentBytes", "length", size - offset);
    if (offset % kPageSize != 0 || length % kPageSize != 0) {
      throw Refusal("residentBytes", "offset and length must be multiples of 4096");
    }
    uint64_t bytes = 0;
    for (const PageRange& range : PageMap().Find(mapping->base(), offset, offset + length, PageKind::kResident)) {
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
