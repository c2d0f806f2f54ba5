#include "file_writer.h"

#include "failure.h"

namespace cryovm {

void FileWriter::Write(iovec* parts, size_t count, uint64_t offset) {
  const uint64_t start = offset;
  while (count > 0) {
    const ssize_t wrote = pwritev(fd_.get(), parts, static_cast<int>(count), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw SystemFailure("pwritev", errno, "writing guest memory to the file");
    if (wrote == 0) throw SystemFailure("pwritev", EIO, "writing guest memory to the file");
    offset += static_cast<uint64_t>(wrote);
    auto left = static_cast<size_t>(wrote);
    for (; count > 0 && parts->iov_len <= left; parts++, count--) left -= parts->iov_len;
    if (left == 0) continue;
    parts->iov_base = static_cast<uint8_t*>(parts->iov_base) + left;
    parts->iov_len -= left;
  }
  written_ += offset - start;
  write_back_.Written(start, offset - start);
}

}  // namespace cryovm
