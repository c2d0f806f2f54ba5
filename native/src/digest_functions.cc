#include "digest_functions.h"

#include <memory>
#include <vector>

#include "arguments.h"
#include "failure.h"
#include "file_digest.h"
#include "job.h"
#include "reopen.h"

namespace cryovm {
namespace {

// Unlike where digests are optional.
uint64_t ToNeededChunkBytes(Napi::Value value, const char* operation) {
  const uint64_t bytes = ToChunkBytes(value, operation, "chunkBytes");
  if (bytes == 0) throw Refusal(operation, "chunkBytes is missing");
  return bytes;
}

}  // namespace

Napi::Value Digest(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const Bytes bytes = ToBytes(info[0], "digest", "bytes");
    if (bytes.size % kPageSize != 0) throw Refusal("digest", "bytes must be a multiple of 4096");
    const auto digests = DigestBytes(bytes.data, bytes.size, ToNeededChunkBytes(info[1], "digest"));
    return FromBytes(env, digests.data(), digests.size());
  });
}

Napi::Value DigestFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const auto fd = static_cast<int>(ToUnsigned(info[0], "digestFile", "fd", INT32_MAX));
    const uint64_t offset = ToPageMultiple(info[1], "digestFile", "offset");
    const uint64_t length = ToPageMultiple(info[2], "digestFile", "length", kMaxSafeInteger - offset);
    const uint64_t chunk_bytes = ToNeededChunkBytes(info[3], "digestFile");
    auto digest = std::make_shared<FileDigest>(Reopen(fd, "digesting a file"), PageRange{offset, offset + length},
                                               chunk_bytes);
    return JobObject::Start(env, "cryovm digest", digest, [digest](Napi::Env env) -> Napi::Value {
      return FromBytes(env, digest->digests().data(), digest->digests().size());
    });
  });
}

}  // namespace cryovm
