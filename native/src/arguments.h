// Arguments as they come from JavaScript, checked before anything is done with them.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>

namespace cryovm {

constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

// A whole number in [0, max]; throws Failure with `operation` and `name` otherwise.
uint64_t ToUnsigned(Napi::Value value, const char* operation, const char* name, uint64_t max = kMaxSafeInteger);

// The same, but a multiple of the page size.
uint64_t ToPageMultiple(Napi::Value value, const char* operation, const char* name, uint64_t max = kMaxSafeInteger);

// Bytes of a chunk of digests, a multiple of the page size above 0; 0 where it was left out.
uint64_t ToChunkBytes(Napi::Value value, const char* operation, const char* name);

struct Bytes {
  const uint8_t* data;
  size_t size;
};

// A Uint8Array (or Buffer). The bytes are valid until JavaScript runs again.
Bytes ToBytes(Napi::Value value, const char* operation, const char* name);

std::string ToText(Napi::Value value, const char* operation, const char* name);

Napi::Object ToObject(Napi::Value value, const char* operation, const char* name);

// A new Uint8Array with a copy of the bytes.
Napi::Uint8Array FromBytes(Napi::Env env, const void* data, size_t size);

}  // namespace cryovm
