#include "mapping.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <string>

#include "counters.h"
#include "failure.h"

namespace cryovm {
namespace {

uint64_t CheckedSize(uint64_t size) {
  if (size == 0 || size % kPageSize != 0) {
    throw Refusal("mapMemory", "the size must be a multiple of 4096 above 0, not " + std::to_string(size));
  }
  return size;
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

AddressRange::AddressRange(uint64_t size) : size_(size) {
  // More is reserved than needed, and both ends are given back.
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
  start_ = reinterpret_cast<uint8_t*>(aligned);
}

AddressRange::~AddressRange() { munmap(start_, size_); }

Mapping::Mapping(uint64_t size, MappingKind kind, MappingSource source)
    : range_(CheckedSize(size)), kind_(kind), source_(std::move(source)), overlays_(source_.maximum_overlays), copier_(base()) {
  const bool file = kind == MappingKind::kPrivateFile;
  // Not reserving swap is what allows more guest memory than the host has, as long as it is not touched.
  const int flags = MAP_FIXED | MAP_NORESERVE | (kind == MappingKind::kShared ? MAP_SHARED : MAP_PRIVATE) |
                    (kind == MappingKind::kAnonymous ? MAP_ANONYMOUS : 0);
  if (mmap(base(), size, PROT_READ | PROT_WRITE, flags, backing_fd(), static_cast<off_t>(backing_offset())) ==
      MAP_FAILED) {
    throw SystemFailure("mmap", errno,
                        "mapping " + std::to_string(size) + " bytes of guest memory" + (file ? " from a file" : ""));
  }
  FileData data(backing_fd(), backing_offset());
  source_.laid.Map(base(), data, source_.maximum_laid_runs);
  // A crash of the host process must not write every guest's memory into its core file. Once for all that was mapped.
  madvise(base(), size, MADV_DONTDUMP);
  source_.laid.Copy(copier_, data);
  copier_.Start();
  counters.memories++;
}

Mapping::~Mapping() { counters.memories--; }

std::shared_ptr<Mapping> Mapping::Anonymous(uint64_t size) {
  return std::shared_ptr<Mapping>(new Mapping(size, MappingKind::kAnonymous, {}));
}

std::shared_ptr<Mapping> Mapping::PrivateFile(uint64_t size, MappingSource source) {
  const uint64_t have = source.file.size;
  if (source.offset % kPageSize != 0) throw Refusal("mapMemory", "the offset must be a multiple of 4096");
  if (have < source.offset || have - source.offset < size) {
    throw Refusal("mapMemory", "the file holds " + std::to_string(have) + " bytes, but " + std::to_string(size) +
                                   " bytes from offset " + std::to_string(source.offset) + " are to be mapped");
  }
  return std::shared_ptr<Mapping>(new Mapping(size, MappingKind::kPrivateFile, std::move(source)));
}

std::shared_ptr<Mapping> Mapping::Shared(uint64_t size) {
  MappingSource source;
  source.file = {MakeMemfd(CheckedSize(size)), size};
  return std::shared_ptr<Mapping>(new Mapping(size, MappingKind::kShared, std::move(source)));
}

}  // namespace cryovm
