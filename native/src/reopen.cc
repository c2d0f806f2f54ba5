#include "reopen.h"

#include <fcntl.h>

#include <string>

#include "failure.h"

namespace cryovm {

Fd Reopen(int fd, const char* doing) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  int own = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  // Without /proc, or without the right to read what was opened by somebody else.
  if (own < 0) own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, doing);
  return Fd(own);
}

}  // namespace cryovm
