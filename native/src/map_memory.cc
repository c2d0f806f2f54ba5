#include "map_memory.h"

#include <cmath>
#include <string>
#include <vector>

#include "arguments.h"
#include "failure.h"
#include "memory.h"

namespace cryovm {
namespace {

constexpr const char* kOperation = "mapMemory";

// The numbers of one run, checked one after the other.
class RunArgument {
 public:
  RunArgument(const double* numbers, size_t index) : numbers_(numbers), index_(index) {}

  uint64_t Pages(size_t which, uint64_t max, const char* what) const {
    const double number = numbers_[which];
    const bool fits = number >= 0 && number <= static_cast<double>(max);
    const uint64_t bytes = fits ? static_cast<uint64_t>(number) : 0;
    if (!fits || static_cast<double>(bytes) != number || bytes % kPageSize != 0) {
      Refuse(std::string(what) + " must be a multiple of 4096 from 0 to " + std::to_string(max));
    }
    return bytes;
  }

  int32_t File(size_t which, size_t count) const {
    const double number = numbers_[which];
    if (number >= LaidRun::kZeros && number < static_cast<double>(count) && number == std::floor(number)) {
      return static_cast<int32_t>(number);
    }
    Refuse("the file must be from -1 (zeros) to " + std::to_string(static_cast<int64_t>(count) - 1));
  }

  [[noreturn]] void Refuse(const std::string& why) const {
    throw Refusal(kOperation, "run " + std::to_string(index_) + " of source.laid.runs: " + why);
  }

 private:
  const double* numbers_;
  size_t index_;
};

std::vector<BackingFile> ToFiles(Napi::Value value) {
  if (!value.IsArray()) throw Refusal(kOperation, "source.laid.fds must be an array");
  const Napi::Array fds = value.As<Napi::Array>();
  std::vector<BackingFile> files;
  for (uint32_t i = 0; i < fds.Length(); i++) {
    const std::string name = "source.laid.fds[" + std::to_string(i) + "]";
    files.push_back(BackingFile::Of(static_cast<int>(ToUnsigned(fds.Get(i), kOperation, name.c_str(), INT32_MAX))));
  }
  return files;
}

LaidRun ToRun(const RunArgument& argument, uint64_t size, const std::vector<BackingFile>& files) {
  LaidRun run = {};
  run.start = argument.Pages(0, size, "the offset");
  const uint64_t length = argument.Pages(1, size - run.start, "the length");
  if (length == 0) argument.Refuse("it is empty");
  run.end = run.start + length;
  run.file = argument.File(2, files.size());
  if (run.file == LaidRun::kZeros) {
    if (argument.Pages(3, 0, "the offset in the file, for zeros,") != 0) argument.Refuse("zeros are in no file");
    return run;
  }
  const uint64_t have = files[static_cast<size_t>(run.file)].size;
  run.file_offset = argument.Pages(3, have, "the offset in the file");
  if (have - run.file_offset < length) {
    argument.Refuse("file " + std::to_string(run.file) + " holds " + std::to_string(have) + " bytes, but " +
                    std::to_string(length) + " bytes from offset " + std::to_string(run.file_offset) +
                    " are to be laid over the memory");
  }
  return run;
}

// What continues another run in the same file (or in zeros) becomes a part of it.
bool Continues(const LaidRun& run, const LaidRun& next) {
  return run.end == next.start && run.file == next.file &&
         (run.file == LaidRun::kZeros || run.file_offset + run.size() == next.file_offset);
}

Laid ToLaid(Napi::Value value, uint64_t size) {
  if (value.IsUndefined()) return {};
  const Napi::Object laid = ToObject(value, kOperation, "source.laid");
  std::vector<BackingFile> files = ToFiles(laid.Get("fds"));
  const Napi::Value list = laid.Get("runs");
  if (!list.IsTypedArray() || list.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw Refusal(kOperation, "source.laid.runs must be a Float64Array");
  }
  const auto numbers = list.As<Napi::Float64Array>();
  if (numbers.ElementLength() % 4 != 0) throw Refusal(kOperation, "source.laid.runs must be four numbers a run");
  std::vector<LaidRun> runs;
  runs.reserve(numbers.ElementLength() / 4);
  for (size_t i = 0; i < numbers.ElementLength() / 4; i++) {
    const RunArgument argument(numbers.Data() + 4 * i, i);
    const LaidRun run = ToRun(argument, size, files);
    if (!runs.empty() && run.start < runs.back().end) argument.Refuse("it begins before the end of the one before it");
    if (!runs.empty() && Continues(runs.back(), run)) {
      runs.back().end = run.end;
    } else {
      runs.push_back(run);
    }
  }
  return Laid(std::move(files), std::move(runs));
}

MappingSource ToSource(const Napi::Object& source, uint64_t size) {
  MappingSource result;
  result.offset = ToUnsigned(source.Get("offset"), kOperation, "source.offset");
  const auto limit = [&](const char* field, uint64_t otherwise) {
    const Napi::Value value = source.Get(field);
    const std::string name = std::string("source.") + field;
    return value.IsUndefined() ? otherwise : ToUnsigned(value, kOperation, name.c_str(), INT32_MAX);
  };
  result.maximum_laid_runs = limit("maximumLaidRuns", result.maximum_laid_runs);
  result.maximum_overlays = limit("maximumOverlays", result.maximum_overlays);
  result.file = BackingFile::Of(static_cast<int>(ToUnsigned(source.Get("fd"), kOperation, "source.fd", INT32_MAX)));
  result.laid = ToLaid(source.Get("laid"), size);
  return result;
}

}  // namespace

Napi::Value MapMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const uint64_t size = ToUnsigned(info[0], kOperation, "size", uint64_t{1} << 46);
    const Napi::Object source = ToObject(info[1], kOperation, "source");
    const std::string kind = ToText(source.Get("kind"), kOperation, "source.kind");
    if (kind == "anonymous") return MemoryObject::Create(env, Mapping::Anonymous(size));
    if (kind == "memfd") return MemoryObject::Create(env, Mapping::Shared(size));
    if (kind != "file") throw Refusal(kOperation, "source.kind must be \"anonymous\", \"memfd\" or \"file\"");
    return MemoryObject::Create(env, Mapping::PrivateFile(size, ToSource(source, size)));
  });
}

}  // namespace cryovm
