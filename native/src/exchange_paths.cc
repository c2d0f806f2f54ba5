#include "exchange_paths.h"

#include <fcntl.h>
#include <stdio.h>

#include <string>

#include "arguments.h"
#include "failure.h"

namespace cryovm {
namespace {

constexpr const char* kOperation = "exchangePaths";

std::string ToPath(Napi::Value value, const char* name) {
  std::string path = ToText(value, kOperation, name);
  // The kernel would take what is before it for the whole name.
  if (path.find('\0') != std::string::npos) throw Refusal(kOperation, std::string(name) + " must not contain a NUL");
  return path;
}

}  // namespace

Napi::Value ExchangePaths(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const std::string a = ToPath(info[0], "a");
    const std::string b = ToPath(info[1], "b");
    if (renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) != 0) {
      throw SystemFailure("renameat2", errno, "exchanging " + a + " and " + b);
    }
    return info.Env().Undefined();
  });
}

}  // namespace cryovm
