#include "arguments.h"

#include <cmath>
#include <cstring>
#include <string>

#include "failure.h"
#include "page_range.h"

namespace cryovm {

uint64_t ToUnsigned(Napi::Value value, const char* operation, const char* name, uint64_t max) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= 0 && number <= static_cast<double>(max) && number == std::floor(number)) {
      return static_cast<uint64_t>(number);
    }
  }
  throw Refusal(operation, std::string(name) + " must be a whole number from 0 to " + std::to_string(max));
}

uint64_t ToPageMultiple(Napi::Value value, const char* operation, const char* name, uint64_t max) {
  const uint64_t bytes = ToUnsigned(value, operation, name, max);
  if (bytes % kPageSize != 0) throw Refusal(operation, std::string(name) + " must be a multiple of 4096");
  return bytes;
}

uint64_t ToChunkBytes(Napi::Value value, const char* operation, const char* name) {
  if (value.IsUndefined()) return 0;
  const uint64_t bytes = ToPageMultiple(value, operation, name);
  if (bytes == 0) throw Refusal(operation, std::string(name) + " must be above 0");
  return bytes;
}

Bytes ToBytes(Napi::Value value, const char* operation, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Refusal(operation, std::string(name) + " must be a Uint8Array");
  }
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return Bytes{array.Data(), array.ByteLength()};
}

std::string ToText(Napi::Value value, const char* operation, const char* name) {
  if (!value.IsString()) throw Refusal(operation, std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object ToObject(Napi::Value value, const char* operation, const char* name) {
  if (!value.IsObject()) throw Refusal(operation, std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

Napi::Uint8Array FromBytes(Napi::Env env, const void* data, size_t size) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, size);
  if (size > 0) std::memcpy(array.Data(), data, size);
  return array;
}

}  // namespace cryovm
