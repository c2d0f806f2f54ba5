// digest and digestFile of the addon.
#pragma once

#include <napi.h>

namespace cryovm {

// digest(bytes, chunkBytes)
Napi::Value Digest(const Napi::CallbackInfo& info);

// digestFile(fd, offset, length, chunkBytes)
Napi::Value DigestFile(const Napi::CallbackInfo& info);

}  // namespace cryovm
