// How the parts that know nothing of JavaScript say that something failed, and how that becomes a JavaScript error.
#pragma once

#include <napi.h>

#include <cerrno>
#include <new>
#include <string>

namespace cryovm {

struct Failure {
  std::string operation;  // name of the ioctl or system call
  int error = 0;          // errno; 0 where this addon itself refused
  std::string message;
};

// A failed system call: `doing` says what it was for.
Failure SystemFailure(const std::string& operation, int error, const std::string& doing);

// An argument or a state that this addon refuses, without having asked the kernel.
inline Failure Refusal(const std::string& operation, const std::string& message) {
  return Failure{operation, 0, operation + ": " + message};
}

// Symbolic name of an errno; strerrorname_np would tie the built file to glibc 2.32.
const char* ErrnoName(int error);

// An Error with `operation`, `errno` and `errnoName`.
Napi::Error ToJavaScript(Napi::Env env, const Failure& failure);

// Runs `body`; what it throws as Failure leaves as a JavaScript exception.
template <typename Body>
auto Guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Failure& failure) {
    throw ToJavaScript(env, failure);
  } catch (const std::bad_alloc&) {
    throw ToJavaScript(env, SystemFailure("malloc", ENOMEM, "allocating memory"));
  }
}

}  // namespace cryovm
