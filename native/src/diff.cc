#include "diff.h"

#include <algorithm>
#include <cstring>

#include "zero_page.h"

namespace cryovm {
namespace {

constexpr uint64_t kWindow = 64 * 1024 * 1024;
constexpr uint64_t kPiece = 4 * 1024 * 1024;  // an abort waits at most for one

// Scattered pages are in no cache: each would be waited for. Fetched so many ranges ahead, several come at once.
constexpr size_t kFetchedAhead = 8;

// At most one of them is null, which is all zeros.
bool AreEqual(const uint8_t* page, const uint8_t* other) {
  if (page == nullptr) return IsZeroPage(other);
  if (other == nullptr) return IsZeroPage(page);
  return std::memcmp(page, other, kPageSize) == 0;
}

}  // namespace

Diff::Diff(std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset, DiffOptions options)
    : Work("dumpDiff", "writing what changed in guest memory"),
      mapping_(std::move(mapping)),
      baseline_(std::move(options.baseline)),
      candidates_(std::move(options.candidates)),
      is_compared_(baseline_ != nullptr || candidates_.is_all()),
      packer_(std::move(fd), file_offset, options.chunk_bytes) {}

void Diff::Do() {
  reader_.emplace(*mapping_, [this] { packer_.Flush(); });
  if (baseline_ != nullptr) baseline_reader_.emplace(*baseline_);
  PageMap pages;
  const uint64_t size = mapping_->size();
  for (uint64_t at = 0; at < size;) {
    CheckAborted();
    const uint64_t end = std::min(at + kWindow, size);
    const std::vector<PageRange> ranges = candidates_.Find(*mapping_, pages, at, end);
    for (size_t i = 0; i < ranges.size(); i++) {
      // Does nothing where there is no page.
      if (i + kFetchedAhead < ranges.size()) __builtin_prefetch(mapping_->base() + ranges[i + kFetchedAhead].start);
      Look(ranges[i]);
    }
    at = end;
    SetScanned(at);
  }
  packer_.Finish();
}

void Diff::Look(const PageRange& range) {
  uint64_t at = range.start;
  while (at < range.end) {
    CheckAborted();
    const Stretch stretch = NextStretch(at, range.end);
    Add(stretch);
    at = stretch.end;
    SetScanned(at);
  }
}

// As much from `from` on as each side is of one kind.
Diff::Stretch Diff::NextStretch(uint64_t from, uint64_t to) {
  uint64_t end = to;
  const auto look = [&](ContentReader& reader) -> const uint8_t* {
    const Content content = reader.Next(from, to);
    const bool is_zero = content.start > from || content.start == content.end;
    end = std::min(end, is_zero ? content.start : content.end);
    return is_zero ? nullptr : content.data;
  };
  Stretch stretch = {from, to, look(*reader_), nullptr};
  if (baseline_reader_.has_value()) stretch.baseline = look(*baseline_reader_);
  const bool is_zero = stretch.data == nullptr && stretch.baseline == nullptr;
  stretch.end = is_zero ? end : std::min(end, from + kPiece);
  return stretch;
}

void Diff::Add(const Stretch& stretch) {
  if (stretch.data == nullptr && stretch.baseline == nullptr) {
    if (!is_compared_) packer_.AddZeros(stretch.start, stretch.end - stretch.start);
    return;
  }
  for (uint64_t at = stretch.start; at < stretch.end; at += kPageSize) {
    const uint8_t* const page = stretch.data == nullptr ? nullptr : stretch.data + (at - stretch.start);
    const uint8_t* const baseline = stretch.baseline == nullptr ? nullptr : stretch.baseline + (at - stretch.start);
    if (is_compared_ && AreEqual(page, baseline)) continue;
    if (page == nullptr || IsZeroPage(page)) {
      packer_.AddZeros(at, kPageSize);
    } else {
      packer_.AddPage(at, page);
    }
  }
}

void Diff::LetGo() {
  reader_.reset();
  baseline_reader_.reset();
  mapping_.reset();
  baseline_.reset();
  packer_.CloseFile();
}

}  // namespace cryovm
