// Calling KVM.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <string>

#include "failure.h"
#include "fd.h"

namespace cryovm {

// An ioctl that must succeed; `name` and `doing` are for the error.
template <typename Argument>
int KvmCall(int fd, unsigned long request, const char* name, Argument argument, const char* doing) {
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) throw SystemFailure(name, errno, doing);
  return result;
}

#define KVM_CALL(fd, request, argument, doing) ::cryovm::KvmCall(fd, request, #request, argument, doing)

// Opens the KVM device and checks that it speaks the one API version there is.
Fd OpenKvm(const std::string& path);

// KVM_CHECK_EXTENSION, on the device or on a virtual machine; 0 for what is not known.
int CheckExtension(int fd, int capability);

}  // namespace cryovm
