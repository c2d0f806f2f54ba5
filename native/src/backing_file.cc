#include "backing_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "failure.h"

namespace cryovm {

BackingFile BackingFile::Of(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) throw SystemFailure("fstat", errno, "looking at the file behind guest memory");
  if (!S_ISREG(status.st_mode)) throw Refusal("mapMemory", "guest memory can only be mapped from a regular file");
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  int own = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (own < 0) own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, "keeping the file behind guest memory open");
  return {Fd(own), static_cast<uint64_t>(status.st_size)};
}

}  // namespace cryovm
