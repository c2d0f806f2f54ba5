#include "dump_functions.h"

#include <fcntl.h>

#include "arguments.h"
#include "dump.h"
#include "failure.h"
#include "fd.h"
#include "job.h"

namespace cryovm {
namespace {

// Its own descriptor, so that a file closed too early is an error at most and never another file written.
Fd ToOwnFd(Napi::Value value, const char* operation) {
  const auto fd = static_cast<int>(ToUnsigned(value, operation, "fd", INT32_MAX));
  Fd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, "starting to write guest memory");
  return own;
}

}  // namespace

Napi::Value StartDump(const Napi::CallbackInfo& info, std::shared_ptr<Mapping> mapping) {
  const uint64_t offset = ToUnsigned(info[1], "dump", "fileOffset");
  const uint64_t chunk_bytes = ToChunkBytes(info[2], "dump", "chunkBytes");
  auto dump = std::make_shared<Dump>(std::move(mapping), ToOwnFd(info[0], "dump"), offset, chunk_bytes);
  return JobObject::Start(info.Env(), "cryovm dump", dump, [dump](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("writtenBytes", static_cast<double>(dump->written()));
    result.Set("skippedBytes", static_cast<double>(dump->skipped()));
    result.Set("digests", FromBytes(env, dump->digests().data(), dump->digests().size()));
    return result;
  });
}

}  // namespace cryovm
