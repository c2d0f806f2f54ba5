#pragma once

#include <napi.h>

namespace cryovm {

// probeHost(path)
Napi::Value ProbeHost(const Napi::CallbackInfo& info);

}  // namespace cryovm
