#include "file_data.h"

#include <unistd.h>

#include <algorithm>

#include "failure.h"

namespace cryovm {

std::optional<PageRange> FileData::Next(uint64_t from, uint64_t to) {
  if (from >= to) return std::nullopt;
  if (from < hole_start_ || from >= data_end_) LookUp(from);
  const uint64_t start = std::max(from, data_start_);
  const uint64_t end = std::min(to, data_end_);
  if (start >= end) return std::nullopt;
  return PageRange{start, end};
}

void FileData::LookUp(uint64_t from) {
  const off_t data = lseek(fd_, static_cast<off_t>(shift_ + from), SEEK_DATA);
  if (data < 0) {
    if (errno != ENXIO) {
      throw SystemFailure("lseek(SEEK_DATA)", errno, "finding the data of the file behind guest memory");
    }
    hole_start_ = from;  // nothing but a hole from here on
    data_start_ = data_end_ = UINT64_MAX;
    return;
  }
  const off_t hole = lseek(fd_, data, SEEK_HOLE);
  if (hole < 0) throw SystemFailure("lseek(SEEK_HOLE)", errno, "finding the holes of the file behind guest memory");
  hole_start_ = from;
  // A file system may count in smaller units than pages.
  data_start_ = std::max(from, (static_cast<uint64_t>(data) - shift_) & ~(kPageSize - 1));
  data_end_ = (static_cast<uint64_t>(hole) - shift_ + kPageSize - 1) & ~(kPageSize - 1);
}

}  // namespace cryovm
