// Which pages of a mapping exist, asked of the kernel without touching them.
#pragma once

#include <cstdint>
#include <vector>

#include "fd.h"
#include "page_range.h"

namespace cryovm {

enum class PageKind {
  kPopulated,  // in memory or in swap, as far as can be told not the shared zero page
  kPrivate,    // of a private file mapping: written here, so no longer the file's
  kResident,   // in memory now
};

class PageMap {
 public:
  // Opens /proc/self/pagemap.
  PageMap();

  // Ranges of `kind` in [base + from, base + to), ascending, not adjacent; offsets are relative to `base`.
  std::vector<PageRange> Find(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind);

 private:
  bool FindByScan(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind, std::vector<PageRange>& found);
  void FindByEntries(const uint8_t* base, uint64_t from, uint64_t to, PageKind kind, std::vector<PageRange>& found);

  Fd fd_;
  bool can_scan_ = true;
};

}  // namespace cryovm
