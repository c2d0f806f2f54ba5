// dump of NativeMemory: its arguments and result.
#pragma once

#include <napi.h>

#include <memory>

#include "mapping.h"

namespace cryovm {

// dump(fd, fileOffset, chunkBytes?)
Napi::Value StartDump(const Napi::CallbackInfo& info, std::shared_ptr<Mapping> mapping);

}  // namespace cryovm
