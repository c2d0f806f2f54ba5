#include "dump_functions.h"

#include <fcntl.h>

#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "diff.h"
#include "dump.h"
#include "failure.h"
#include "fd.h"
#include "job.h"
#include "memory.h"

namespace cryovm {
namespace {

constexpr const char* kDumpDiff = "dumpDiff";

// Its own descriptor, so that a file closed too early is an error at most and never another file written.
Fd ToOwnFd(Napi::Value value, const char* operation) {
  const auto fd = static_cast<int>(ToUnsigned(value, operation, "fd", INT32_MAX));
  Fd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, "starting to write guest memory");
  return own;
}

// One bit a page. A copy, since what is given may change while the work goes on.
std::vector<uint64_t> ToBitmap(Napi::Value value, uint64_t pages, const std::string& name) {
  const Bytes bytes = ToBytes(value, kDumpDiff, name.c_str());
  std::vector<uint64_t> words((pages + 63) / 64);
  const size_t wanted = words.size() * sizeof(uint64_t);
  if (bytes.size != wanted) {
    throw Refusal(kDumpDiff, name + " must be " + std::to_string(wanted) + " bytes for " +
                                 std::to_string(pages) + " pages, not " + std::to_string(bytes.size));
  }
  std::memcpy(words.data(), bytes.data, wanted);
  const uint64_t last_bits = pages % 64;
  if (last_bits != 0 && words.back() >> last_bits != 0) {
    throw Refusal(kDumpDiff, name + " has bits set behind the last page");
  }
  return words;
}

Candidates ToCandidates(Napi::Value value, Napi::Value discarded, const Mapping& mapping) {
  const uint64_t pages = mapping.size() / kPageSize;
  const std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (text != "written") {
    if (!discarded.IsUndefined()) throw Refusal(kDumpDiff, "options.discarded goes with candidates that are \"written\"");
    if (!value.IsString()) return Candidates::Bitmap(ToBitmap(value, pages, "options.candidates"));
    if (text == "all") return Candidates::All();
    throw Refusal(kDumpDiff, "options.candidates must be a Uint8Array, \"written\" or \"all\"");
  }
  if (mapping.kind() != MappingKind::kPrivateFile) {
    throw Refusal(kDumpDiff, "options.candidates can be \"written\" only of memory that is mapped from a file");
  }
  if (discarded.IsUndefined()) return Candidates::Written();
  return Candidates::Touched(ToBitmap(discarded, pages, "options.discarded"));
}

std::shared_ptr<Mapping> ToBaseline(Napi::Value value, const Mapping& mapping) {
  if (value.IsUndefined()) return nullptr;
  auto baseline = MemoryObject::MappingOf(value, kDumpDiff, "options.baseline");
  if (baseline->size() != mapping.size()) {
    throw Refusal(kDumpDiff, "options.baseline must be of the same size (" + std::to_string(mapping.size()) +
                                 " bytes), not " + std::to_string(baseline->size()));
  }
  return baseline;
}

DiffOptions ToDiffOptions(Napi::Value value, const Mapping& mapping) {
  const Napi::Object options = ToObject(value, kDumpDiff, "options");
  return {
      ToCandidates(options.Get("candidates"), options.Get("discarded"), mapping),
      ToBaseline(options.Get("baseline"), mapping),
      ToChunkBytes(options.Get("chunkBytes"), kDumpDiff, "options.chunkBytes"),
  };
}

// NativeRuns
Napi::Float64Array FromRuns(Napi::Env env, const std::vector<PackedRun>& runs) {
  Napi::Float64Array array = Napi::Float64Array::New(env, runs.size() * 4);
  double* next = array.Data();
  for (const PackedRun& run : runs) {
    *next++ = static_cast<double>(run.offset);
    *next++ = static_cast<double>(run.size);
    *next++ = run.is_zero ? -1 : 0;
    *next++ = static_cast<double>(run.file_offset);
  }
  return array;
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

Napi::Value StartDumpDiff(const Napi::CallbackInfo& info, std::shared_ptr<Mapping> mapping) {
  Fd fd = info[0].IsNull() ? Fd() : ToOwnFd(info[0], kDumpDiff);
  const uint64_t offset = ToPageMultiple(info[1], kDumpDiff, "fileOffset");
  DiffOptions options = ToDiffOptions(info[2], *mapping);
  auto diff = std::make_shared<Diff>(std::move(mapping), std::move(fd), offset, std::move(options));
  return JobObject::Start(info.Env(), "cryovm diff", diff, [diff](Napi::Env env) -> Napi::Value {
    const PagePacker& packed = diff->packed();
    Napi::Object result = Napi::Object::New(env);
    result.Set("runs", FromRuns(env, packed.runs()));
    result.Set("writtenBytes", static_cast<double>(packed.packed_bytes()));
    result.Set("zeroBytes", static_cast<double>(packed.zero_bytes()));
    result.Set("digests", FromBytes(env, packed.digests().data(), packed.digests().size()));
    return result;
  });
}

}  // namespace cryovm
