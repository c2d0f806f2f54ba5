#include "mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string>

#include "counters.h"
#include "failure.h"

namespace cryovm {
namespace {

// Address space only, aligned for huge pages: more is reserved than needed and both ends are given back.
uint8_t* Reserve(uint64_t size) {
  const uint64_t padded = size + kHugePageSize;
  void* reserved = mmap(nullptr, padded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    throw SystemFailure("mmap", errno, "reserving " + std::to_string(padded) + " bytes of address space");
  }
  const auto start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = (start + kHugePageSize - 1) & ~(kHugePageSize - 1);
  if (aligned > start) munmap(reserved, aligned - start);
  const uintptr_t tail = start + padded - (aligned + size);
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + size), tail);
  return reinterpret_cast<uint8_t*>(aligned);
}

// An open file description of our own: looking for holes moves its position, which must not be the caller's.
Fd Reopen(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  int own = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (own < 0) own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw SystemFailure("fcntl(F_DUPFD_CLOEXEC)", errno, "keeping the file behind guest memory open");
  return Fd(own);
}

void CheckCovers(int fd, uint64_t offset, uint64_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0) throw SystemFailure("fstat", errno, "looking at the file behind guest memory");
  if (!S_ISREG(status.st_mode)) throw Refusal("mapMemory", "guest memory can only be mapped from a regular file");
  const auto have = static_cast<uint64_t>(status.st_size);
  if (have < offset || have - offset < size) {
    throw Refusal("mapMemory", "the file holds " + std::to_string(have) + " bytes, but " + std::to_string(size) +
                                   " bytes from offset " + std::to_string(offset) + " are to be mapped");
  }
}

void CheckSize(uint64_t size) {
  if (size == 0 || size % kPageSize != 0) {
    throw Refusal("mapMemory", "the size must be a multiple of 4096 above 0, not " + std::to_string(size));
  }
}

// Whose size nobody can change, so that no access to the memory can ever fall behind its end.
Fd MakeMemfd(uint64_t size) {
  constexpr unsigned kNoExecSeal = 0x0008;  // MFD_NOEXEC_SEAL, which kernels before 6.3 do not know
  int fd = memfd_create("cryovm", MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("cryovm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw SystemFailure("memfd_create", errno, "making shared guest memory");
  Fd own(fd);
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    throw SystemFailure("ftruncate", errno, "giving shared guest memory " + std::to_string(size) + " bytes");
  }
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw SystemFailure("fcntl(F_ADD_SEALS)", errno, "fixing the size of shared guest memory");
  }
  return own;
}

}  // namespace

Mapping::Mapping(uint64_t size, MappingKind kind, Fd backing, uint64_t backing_offset, uint64_t maximum_overlays)
    : size_(size),
      kind_(kind),
      backing_(std::move(backing)),
      backing_offset_(backing_offset),
      overlays_(maximum_overlays) {
  CheckSize(size);
  const bool file = kind == MappingKind::kPrivateFile;
  uint8_t* reserved = Reserve(size);
  // Not reserving swap is what allows more guest memory than the host has, as long as it is not touched.
  const int flags = MAP_FIXED | MAP_NORESERVE | (kind == MappingKind::kShared ? MAP_SHARED : MAP_PRIVATE) |
                    (kind == MappingKind::kAnonymous ? MAP_ANONYMOUS : 0);
  if (mmap(reserved, size, PROT_READ | PROT_WRITE, flags, backing_.get(), static_cast<off_t>(backing_offset)) ==
      MAP_FAILED) {
    const int error = errno;
    munmap(reserved, size);
    throw SystemFailure("mmap", error,
                        "mapping " + std::to_string(size) + " bytes of guest memory" + (file ? " from a file" : ""));
  }
  // A crash of the host process must not write every guest's memory into its core file.
  madvise(reserved, size, MADV_DONTDUMP);
  base_ = reserved;
  counters.memories++;
}

Mapping::~Mapping() {
  if (base_ == nullptr) return;
  munmap(base_, size_);
  counters.memories--;
}

std::shared_ptr<Mapping> Mapping::Anonymous(uint64_t size) {
  return std::shared_ptr<Mapping>(new Mapping(size, MappingKind::kAnonymous, Fd(), 0));
}

std::shared_ptr<Mapping> Mapping::PrivateFile(uint64_t size, int fd, uint64_t offset, uint64_t maximum_overlays) {
  if (offset % kPageSize != 0) throw Refusal("mapMemory", "the offset must be a multiple of 4096");
  CheckCovers(fd, offset, size);
  return std::shared_ptr<Mapping>(
      new Mapping(size, MappingKind::kPrivateFile, Reopen(fd), offset, maximum_overlays));
}

std::shared_ptr<Mapping> Mapping::Shared(uint64_t size) {
  CheckSize(size);
  return std::shared_ptr<Mapping>(new Mapping(size, MappingKind::kShared, MakeMemfd(size), 0));
}

}  // namespace cryovm
