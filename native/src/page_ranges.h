// Sets of pages as ascending ranges.
#pragma once

#include <utility>
#include <vector>

#include "page_range.h"

namespace cryovm {

// Ascending ranges, of which each is appended to the last where they adjoin or overlap.
class PageRanges {
 public:
  void Append(const PageRange& range);
  std::vector<PageRange> Take() { return std::move(ranges_); }

 private:
  std::vector<PageRange> ranges_;
};

std::vector<PageRange> Union(const std::vector<PageRange>& a, const std::vector<PageRange>& b);

// What of `a` is not in `b`.
std::vector<PageRange> Difference(const std::vector<PageRange>& a, const std::vector<PageRange>& b);

}  // namespace cryovm
