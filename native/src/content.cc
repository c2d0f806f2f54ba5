#include "content.h"

#include <algorithm>
#include <mutex>
#include <new>

namespace cryovm {
namespace {

// The kernel is asked about as much at a time as is wanted, but not for every single page.
constexpr uint64_t kSmallestWindow = 2 * 1024 * 1024;
constexpr uint64_t kLargestWindow = 64 * 1024 * 1024;

}  // namespace

ContentReader::ContentReader(Mapping& mapping, std::function<void()> before_reuse)
    : mapping_(mapping), before_reuse_(std::move(before_reuse)) {
  if (mapping.kind() == MappingKind::kPrivateFile) backing_.emplace(mapping);
  if (mapping.kind() == MappingKind::kShared) memfd_.emplace(mapping.backing_fd(), 0);
}

Content ContentReader::Next(uint64_t from, uint64_t to) {
  const bool is_known = asked_.start <= from && from < found_.end && to <= asked_.end;
  if (!is_known) {
    asked_ = {from, to};
    found_ = Find(from, to);
  }
  const uint64_t start = std::max(from, found_.start);
  const uint64_t end = std::min(to, found_.end);
  if (start >= end) return {to, to, nullptr};
  return {start, end, found_.data + (start - found_.start)};
}

Content ContentReader::Find(uint64_t from, uint64_t to) {
  while (from < to) {
    if (from < window_.start || from >= window_.end) FindParts(from, to);
    while (part_ < parts_.size() && parts_[part_].range.end <= from) part_++;
    if (part_ == parts_.size()) {
      from = window_.end;
      continue;
    }
    const Part& part = parts_[part_];
    PageRange range = {std::max(from, part.range.start), std::min(to, part.range.end)};
    if (range.start >= range.end) break;
    if (part.is_in_place) return {range.start, range.end, mapping_.base() + range.start};
    if (const auto data = backing_->NextData(range.start, range.end)) return ReadBehind(*data);
    from = range.end;
  }
  return {to, to, nullptr};
}

void ContentReader::FindParts(uint64_t from, uint64_t to) {
  window_ = {from, std::clamp(to, from + kSmallestWindow, from + kLargestWindow)};
  window_.end = std::min(window_.end, mapping_.size());
  parts_.clear();
  part_ = 0;
  switch (mapping_.kind()) {
    case MappingKind::kAnonymous:
      for (const PageRange& range : pages_.Find(mapping_.base(), window_.start, window_.end, PageKind::kPopulated)) {
        parts_.push_back({range, true});
      }
      return;
    case MappingKind::kPrivateFile:
      return FindPartsOfPrivateFile();
    case MappingKind::kShared:
      return FindPartsOfShared();
  }
}

void ContentReader::FindPartsOfPrivateFile() {
  const std::vector<PageRange> own = pages_.Find(mapping_.base(), window_.start, window_.end, PageKind::kPrivate);
  std::vector<PageRange> behind;
  {
    // Not before the pages were looked at: what is discarded between the two is then known to be no longer the file's.
    const std::lock_guard lock(mapping_.overlays_mutex());
    behind = mapping_.overlays().Outside(window_);
  }
  size_t next = 0;
  const auto add_behind = [&](uint64_t start, uint64_t end) {
    for (; next < behind.size() && behind[next].start < end; next++) {
      const PageRange range = {std::max(start, behind[next].start), std::min(end, behind[next].end)};
      if (range.start < range.end) parts_.push_back({range, false});
      if (behind[next].end > end) break;
    }
  };
  uint64_t at = window_.start;
  for (const PageRange& range : own) {
    add_behind(at, range.start);
    parts_.push_back({range, true});
    at = range.end;
  }
  add_behind(at, window_.end);
}

void ContentReader::FindPartsOfShared() {
  // Reading a hole of a memfd would fill it.
  uint64_t at = window_.start;
  while (const auto data = memfd_->Next(at, window_.end)) {
    parts_.push_back({*data, true});
    at = data->end;
  }
}

Content ContentReader::ReadBehind(const PageRange& range) {
  if (buffer_ == nullptr) buffer_.reset(static_cast<uint8_t*>(std::aligned_alloc(kPageSize, kBufferSize)));
  if (buffer_ == nullptr) throw std::bad_alloc();
  if (!before_reuse_) {
    used_ = 0;  // nobody keeps what was read before
  } else if (used_ == kBufferSize) {
    before_reuse_();
    used_ = 0;
  }
  const uint64_t size = std::min(range.end - range.start, kBufferSize - used_);
  uint8_t* into = buffer_.get() + used_;
  backing_->Read(range.start, size, into);
  used_ += size;
  return {range.start, range.start + size, into};
}

}  // namespace cryovm
