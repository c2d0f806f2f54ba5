#include "overlays.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace cryovm {
Overlays::Touched Overlays::TouchedBy(const PageRange& range) const {
  const auto from = std::lower_bound(overlays_.begin(), overlays_.end(), range.start,
                                     [](const Overlay& overlay, uint64_t start) { return overlay.end < start; });
  auto to = from;
  Touched touched = {static_cast<size_t>(from - overlays_.begin()), 0, 0, 0};
  for (; to != overlays_.end() && to->start <= range.end; ++to) {
    touched.mappings += to->mappings;
    if (to->start < range.start || to->end > range.end) touched.kept += to->mappings;
  }
  touched.last = static_cast<size_t>(to - overlays_.begin());
  touched.kept = std::max<uint64_t>(touched.kept, 1);
  return touched;
}

bool Overlays::Covers(const PageRange& range) const {
  const Touched touched = TouchedBy(range);
  return touched.last == touched.first + 1 && overlays_[touched.first].start <= range.start &&
         overlays_[touched.first].end >= range.end;
}

std::vector<PageRange> Overlays::Outside(const PageRange& range) const {
  std::vector<PageRange> outside;
  const Touched touched = TouchedBy(range);
  uint64_t at = range.start;
  for (size_t i = touched.first; i < touched.last; i++) {
    if (overlays_[i].start > at) outside.push_back({at, overlays_[i].start});
    at = std::max(at, overlays_[i].end);
  }
  if (at < range.end) outside.push_back({at, range.end});
  return outside;
}

std::vector<PageRange> Overlays::Inside(const PageRange& range) const {
  std::vector<PageRange> inside;
  const Touched touched = TouchedBy(range);
  for (size_t i = touched.first; i < touched.last; i++) {
    const PageRange part = {std::max(range.start, overlays_[i].start), std::min(range.end, overlays_[i].end)};
    if (part.start < part.end) inside.push_back(part);
  }
  return inside;
}

int64_t Overlays::CostOf(const PageRange& range) const {
  const Touched touched = TouchedBy(range);
  return static_cast<int64_t>(touched.kept) - static_cast<int64_t>(touched.mappings);
}

// Single pages must not take the place of what frees much.
uint64_t Overlays::LimitFor(const PageRange& range) const {
  const uint64_t size = range.end - range.start;
  if (size < 64 * 1024) return limit_ - limit_ / 2;
  if (size < 2 * 1024 * 1024) return limit_ - limit_ / 4;
  return limit_;
}

bool Overlays::HasRoomFor(const PageRange& range) const {
  return CostsNothing(range) || (share_.taken() < LimitFor(range) && MappingShare::AnyLeft());
}

bool Overlays::Admit(const PageRange& range, const uint8_t* base) {
  if (!HasRoomFor(range)) {
    // Joined overlays are counted as if they stayed apart. Reading the truth is slow, so not before it can be worth it.
    if (joins_ <= limit_ / 8) return false;
    Recount(base);
    if (!HasRoomFor(range)) return false;
  }
  if (overlays_.size() == overlays_.capacity()) overlays_.reserve(2 * overlays_.size() + 16);
  return true;
}

void Overlays::Add(const PageRange& range) noexcept {
  const Touched touched = TouchedBy(range);
  share_.Set(share_.taken() + touched.kept - touched.mappings);
  const auto first = overlays_.begin() + static_cast<ptrdiff_t>(touched.first);
  if (touched.first == touched.last) {
    overlays_.insert(first, {range.start, range.end, touched.kept});
    return;
  }
  const auto last = overlays_.begin() + static_cast<ptrdiff_t>(touched.last);
  first->start = std::min(first->start, range.start);
  first->end = std::max((last - 1)->end, range.end);
  first->mappings = touched.kept;
  joins_ += touched.last - touched.first - 1;
  overlays_.erase(first + 1, last);
}

void Overlays::Recount(const uint8_t* base) {
  joins_ = 0;
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), &fclose);
  if (maps == nullptr) return;
  std::vector<uint64_t> counts(overlays_.size());
  const auto origin = reinterpret_cast<uint64_t>(base);
  size_t at = 0;
  char line[8192];  // longer than any path
  while (at < overlays_.size() && fgets(line, sizeof line, maps.get()) != nullptr) {
    char* dash = nullptr;
    const uint64_t start = strtoull(line, &dash, 16);
    const uint64_t end = *dash == '-' ? strtoull(dash + 1, nullptr, 16) : start;
    while (at < overlays_.size() && origin + overlays_[at].end <= start) at++;
    if (at < overlays_.size() && end > origin + overlays_[at].start) counts[at]++;
  }
  uint64_t total = 0;
  for (size_t i = 0; i < overlays_.size(); i++) {
    overlays_[i].mappings = std::max<uint64_t>(counts[i], 1);
    total += overlays_[i].mappings;
  }
  share_.Set(total);
}

}  // namespace cryovm
