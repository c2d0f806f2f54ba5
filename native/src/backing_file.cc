#include "backing_file.h"

#include <sys/stat.h>

#include "failure.h"
#include "reopen.h"

namespace cryovm {

BackingFile BackingFile::Of(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) throw SystemFailure("fstat", errno, "looking at the file behind guest memory");
  if (!S_ISREG(status.st_mode)) throw Refusal("mapMemory", "guest memory can only be mapped from a regular file");
  return {Reopen(fd, "keeping the file behind guest memory open"), static_cast<uint64_t>(status.st_size)};
}

}  // namespace cryovm
