// dump and dumpDiff of NativeMemory: their arguments and results.
#pragma once

#include <napi.h>

#include <memory>

#include "mapping.h"

namespace cryovm {

// dump(fd, fileOffset, chunkBytes?)
Napi::Value StartDump(const Napi::CallbackInfo& info, std::shared_ptr<Mapping> mapping);

// dumpDiff(fd, fileOffset, options)
Napi::Value StartDumpDiff(const Napi::CallbackInfo& info, std::shared_ptr<Mapping> mapping);

}  // namespace cryovm
