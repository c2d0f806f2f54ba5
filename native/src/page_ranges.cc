#include "page_ranges.h"

#include <algorithm>

namespace cryovm {

void PageRanges::Append(const PageRange& range) {
  if (range.start >= range.end) return;
  if (!ranges_.empty() && ranges_.back().end >= range.start) {
    ranges_.back().end = std::max(ranges_.back().end, range.end);
  } else {
    ranges_.push_back(range);
  }
}

std::vector<PageRange> Union(const std::vector<PageRange>& a, const std::vector<PageRange>& b) {
  PageRanges all;
  size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    const bool take_a = j == b.size() || (i < a.size() && a[i].start < b[j].start);
    all.Append(take_a ? a[i++] : b[j++]);
  }
  return all.Take();
}

std::vector<PageRange> Difference(const std::vector<PageRange>& a, const std::vector<PageRange>& b) {
  PageRanges left;
  size_t j = 0;
  for (const PageRange& range : a) {
    uint64_t at = range.start;
    while (j < b.size() && b[j].end <= at) j++;
    for (size_t k = j; k < b.size() && b[k].start < range.end; k++) {
      left.Append({at, b[k].start});
      at = b[k].end;
    }
    left.Append({at, range.end});
  }
  return left.Take();
}

}  // namespace cryovm
