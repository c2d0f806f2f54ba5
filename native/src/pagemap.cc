#include "pagemap.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>

#include "failure.h"
#include "mapping.h"

namespace cryovm {
namespace {

// From linux/fs.h of 6.7, spelt out so that the addon compiles with older headers.
struct PmScanRegion {
  uint64_t start, end, categories;
};
struct PmScanArg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PmScanArg);
constexpr uint64_t kIsFile = 1 << 2, kIsPresent = 1 << 3, kIsSwapped = 1 << 4, kIsZeroPage = 1 << 5;

// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kEntryPresent = uint64_t{1} << 63, kEntrySwapped = uint64_t{1} << 62,
                   kEntryFile = uint64_t{1} << 61;

void Append(std::vector<PageRange>& found, uint64_t start, uint64_t end) {
  if (!found.empty() && found.back().end == start) {
    found.back().end = end;
  } else {
    found.push_back({start, end});
  }
}

bool Matches(uint64_t entry, PageKind kind) {
  switch (kind) {
    case PageKind::kPopulated:
      return (entry & (kEntryPresent | kEntrySwapped)) != 0;
    case PageKind::kPrivate:
      // A page of the file in migration has a swap entry too, but is still the file's.
      return (entry & (kEntryPresent | kEntrySwapped)) != 0 && (entry & kEntryFile) == 0;
    case PageKind::kResident:
      return (entry & kEntryPresent) != 0;
  }
  return true;
}

}  // namespace

PageMap::PageMap() : fd_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
  if (!fd_) throw SystemFailure("open", errno, "opening /proc/self/pagemap to find the pages in use");
}

std::vector<PageRange> PageMap::Find(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind) {
  std::vector<PageRange> found;
  if (from >= to) return found;
  if (can_scan_ && FindByScan(base, from, to, kind, found)) return found;
  found.clear();
  FindByEntries(base, from, to, kind, found);
  return found;
}

bool PageMap::FindByScan(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind,
                         std::vector<PageRange>& found) {
  std::array<PmScanRegion, 512> regions;
  const auto address = reinterpret_cast<uint64_t>(base);
  PmScanArg arg = {};
  arg.size = sizeof arg;
  arg.start = address + from;
  arg.end = address + to;
  arg.vec = reinterpret_cast<uint64_t>(regions.data());
  arg.vec_len = regions.size();
  arg.category_anyof_mask = kind == PageKind::kResident ? kIsPresent : kIsPresent | kIsSwapped;
  // Nothing of a private file mapping is dropped for being the zero page: it then differs from the file.
  arg.category_mask = kind == PageKind::kPrivate ? kIsFile : kIsZeroPage;
  arg.category_inverted = arg.category_mask;
  arg.return_mask = kIsPresent | kIsSwapped;
  while (arg.start < arg.end) {
    const int count = ioctl(fd_.get(), kPagemapScan, &arg);
    if (count < 0) {
      if (errno == EINTR) continue;
      can_scan_ = false;  // before 6.7; reading the entries tells the same, less quickly
      return false;
    }
    for (int i = 0; i < count; i++) Append(found, regions[i].start - address, regions[i].end - address);
    if (arg.walk_end <= arg.start) break;
    arg.start = arg.walk_end;
  }
  return true;
}

void PageMap::FindByEntries(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind,
                            std::vector<PageRange>& found) {
  std::array<uint64_t, 2048> entries;
  const uint64_t first_page = reinterpret_cast<uint64_t>(base) / kPageSize;
  uint64_t page = from / kPageSize;
  const uint64_t last = to / kPageSize;
  while (page < last) {
    const uint64_t count = std::min<uint64_t>(entries.size(), last - page);
    const ssize_t got =
        pread(fd_.get(), entries.data(), count * sizeof(uint64_t), static_cast<off_t>((first_page + page) * 8));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw SystemFailure("pread", got < 0 ? errno : EIO, "reading /proc/self/pagemap");
    const uint64_t pages = static_cast<uint64_t>(got) / sizeof(uint64_t);
    for (uint64_t i = 0; i < pages; i++) {
      if (Matches(entries[i], kind)) Append(found, (page + i) * kPageSize, (page + i + 1) * kPageSize);
    }
    page += pages;
  }
}

}  // namespace cryovm
