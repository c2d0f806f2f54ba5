#include "kvm.h"

#include <fcntl.h>

namespace cryovm {

Fd OpenKvm(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) throw SystemFailure("open", errno, "opening " + path);
  const int version = KVM_CALL(fd.get(), KVM_GET_API_VERSION, 0, "asking for the version of the KVM API");
  if (version != KVM_API_VERSION) {
    throw Refusal("KVM_GET_API_VERSION",
                  path + " speaks version " + std::to_string(version) + " of the KVM API, not 12");
  }
  return fd;
}

int CheckExtension(int fd, int capability) {
  const int value = ioctl(fd, KVM_CHECK_EXTENSION, capability);
  return value < 0 ? 0 : value;
}

}  // namespace cryovm
