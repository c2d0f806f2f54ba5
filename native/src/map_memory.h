// mapMemory of the addon.
#pragma once

#include <napi.h>

namespace cryovm {

// mapMemory(size, source)
Napi::Value MapMemory(const Napi::CallbackInfo& info);

}  // namespace cryovm
