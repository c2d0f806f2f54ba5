// exchangePaths of the addon: the one rename that Node does not have.
#pragma once

#include <napi.h>

namespace cryovm {

// exchangePaths(a, b)
Napi::Value ExchangePaths(const Napi::CallbackInfo& info);

}  // namespace cryovm
