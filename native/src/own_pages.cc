// Which pages of a private file mapping are its own.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "backing.h"
#include "mapping.h"
#include "page_ranges.h"
#include "pagemap.h"
#include "zero_page.h"

namespace cryovm {
namespace {

constexpr uint64_t kPiece = 64 * kPageSize;

// Leaves out the pages that only hold what was laid there.
class LaidFilter {
 public:
  explicit LaidFilter(const Mapping& mapping) : mapping_(mapping), backing_(mapping) {}

  // What of `found` holds something else than what was laid there; of runs that are mapped, all.
  std::vector<PageRange> Changed(const std::vector<PageRange>& found) {
    return Filtered(found, [&](const LaidRun& run, const PageRange& part, PageRanges& changed) {
      if (run.file == LaidRun::kZeros) {
        AppendWhere(part, changed, [&](uint64_t page) { return !IsZeroPage(mapping_.base() + page); });
      } else if (run.copied) {
        WithLaid(part, [&](const PageRange& piece, const uint8_t* laid) {
          AppendWhere(piece, changed, [&](uint64_t page) {
            return std::memcmp(mapping_.base() + page, laid + (page - piece.start), kPageSize) != 0;
          });
        });
      } else {
        changed.Append(part);
      }
    });
  }

  // The same of pages that are known to be zero, without looking at them: that would bring them in.
  std::vector<PageRange> ChangedToZeros(const std::vector<PageRange>& found) {
    return Filtered(found, [&](const LaidRun& run, const PageRange& part, PageRanges& changed) {
      if (run.file == LaidRun::kZeros) return;
      if (!run.copied) return changed.Append(part);
      WithLaid(part, [&](const PageRange& piece, const uint8_t* laid) {
        AppendWhere(piece, changed, [&](uint64_t page) { return !IsZeroPage(laid + (page - piece.start)); });
      });
    });
  }

 private:
  template <typename OfRun>
  std::vector<PageRange> Filtered(const std::vector<PageRange>& found, OfRun&& of_run) {
    const std::vector<LaidRun>& runs = mapping_.laid().runs();
    PageRanges kept;
    for (const PageRange& range : found) {
      uint64_t at = range.start;
      for (size_t i = mapping_.laid().FirstBehind(at); i < runs.size() && runs[i].start < range.end; i++) {
        const PageRange part = {std::max(range.start, runs[i].start), std::min(range.end, runs[i].end)};
        kept.Append({at, part.start});
        of_run(runs[i], part, kept);
        at = part.end;
      }
      kept.Append({at, range.end});
    }
    return kept.Take();
  }

  template <typename Wanted>
  static void AppendWhere(const PageRange& part, PageRanges& ranges, Wanted&& wanted) {
    for (uint64_t page = part.start; page < part.end; page += kPageSize) {
      if (wanted(page)) ranges.Append({page, page + kPageSize});
    }
  }

  // Hands over what was laid over `part`, piece by piece.
  template <typename Use>
  void WithLaid(const PageRange& part, Use&& use) {
    if (laid_ == nullptr) laid_.reset(static_cast<uint8_t*>(std::aligned_alloc(kPageSize, kPiece)));
    if (laid_ == nullptr) throw std::bad_alloc();
    for (uint64_t at = part.start; at < part.end; at += kPiece) {
      const PageRange piece = {at, std::min(part.end, at + kPiece)};
      backing_.Read(piece.start, piece.end - piece.start, laid_.get());
      use(piece, laid_.get());
    }
  }

  const Mapping& mapping_;
  BackingReader backing_;
  std::unique_ptr<uint8_t, decltype(&std::free)> laid_{nullptr, &std::free};
};

}  // namespace

std::vector<PageRange> Mapping::FindWritten(uint64_t from, uint64_t to, PageMap& pages) const {
  return pages.Find(base(), from, to, PageKind::kPrivate);
}

std::vector<PageRange> Mapping::FindDiscarded(uint64_t from, uint64_t to) {
  const std::lock_guard lock(overlays_mutex_);
  return overlays_.Inside({from, to});
}

std::vector<PageRange> Mapping::FindOwn(uint64_t from, uint64_t to, PageMap& pages) {
  const std::vector<PageRange> written = FindWritten(from, to, pages);
  // Not before the pages were looked at: what is discarded between the two is then still found.
  const std::vector<PageRange> discarded = FindDiscarded(from, to);
  LaidFilter filter(*this);
  // What is discarded and not written to since is zero.
  return Union(filter.Changed(written), filter.ChangedToZeros(Difference(discarded, written)));
}

std::vector<PageRange> Mapping::FindTouched(uint64_t from, uint64_t to, PageMap& pages) {
  const std::vector<PageRange> written = FindWritten(from, to, pages);
  return Union(written, FindDiscarded(from, to));
}

}  // namespace cryovm
