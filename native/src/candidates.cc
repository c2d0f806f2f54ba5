#include "candidates.h"

#include <algorithm>
#include <bit>

#include "page_ranges.h"

namespace cryovm {
namespace {

// The first page from `page` on, before `end`, whose bit is `set`; otherwise `end`.
uint64_t FindBit(const std::vector<uint64_t>& words, uint64_t page, uint64_t end, bool set) {
  while (page < end) {
    const uint64_t word = set ? words[page / 64] : ~words[page / 64];
    const uint64_t left = word >> (page % 64);
    if (left != 0) return std::min(end, page + static_cast<uint64_t>(std::countr_zero(left)));
    page = (page / 64 + 1) * 64;
  }
  return end;
}

}  // namespace

std::vector<PageRange> Candidates::Find(Mapping& mapping, PageMap& pages, uint64_t from, uint64_t to) const {
  switch (kind_) {
    case Kind::kAll:
      return {{from, to}};
    case Kind::kWritten:
      return mapping.FindOwn(from, to, pages);
    case Kind::kTouched:
      return Union(mapping.FindTouched(from, to, pages), FindInBitmap(from, to));
    case Kind::kBitmap:
      return FindInBitmap(from, to);
  }
  return {};
}

std::vector<PageRange> Candidates::FindInBitmap(uint64_t from, uint64_t to) const {
  std::vector<PageRange> found;
  const uint64_t end = to / kPageSize;
  uint64_t page = FindBit(words_, from / kPageSize, end, true);
  while (page < end) {
    const uint64_t past = FindBit(words_, page, end, false);
    found.push_back({page * kPageSize, past * kPageSize});
    page = FindBit(words_, past, end, true);
  }
  return found;
}

}  // namespace cryovm
