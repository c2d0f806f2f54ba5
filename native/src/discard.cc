#include "discard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

#include "backing.h"
#include "failure.h"
#include "zero_page.h"

namespace cryovm {
namespace {

// Ranges that adjoin are one for the kernel; `count` is how many they were.
struct Joint {
  PageRange range;
  size_t count;
  uint64_t size() const { return range.end - range.start; }
};

std::vector<Joint> Joined(const std::vector<PageRange>& ranges) {
  std::vector<Joint> runs;
  runs.reserve(ranges.size());
  for (const PageRange& range : ranges) {
    if (!runs.empty() && runs.back().range.end == range.start) {
      runs.back().range.end = range.end;
      runs.back().count++;
    } else {
      runs.push_back({range, 1});
    }
  }
  return runs;
}

// Drops the pages of as many runs as the kernel takes in one call, and tells how many those were. From 6.16 on, the
// other processors are interrupted once for all of them, where a call for each would interrupt them each time.
size_t DropTogether(uint8_t* base, const Joint* const* runs, size_t count) {
  static std::atomic<bool> possible{true};
  constexpr int kSelf = -10000;  // PIDFD_SELF of linux/pidfd.h
  std::array<iovec, 1024> parts;  // the most that the kernel takes
  if (!possible || count < 2) return 0;
  count = std::min(count, parts.size());
  for (size_t i = 0; i < count; i++) parts[i] = {base + runs[i]->range.start, runs[i]->size()};
  const long dropped = syscall(SYS_process_madvise, kSelf, parts.data(), count, MADV_DONTNEED, 0);
  if (dropped < 0) {
    if (errno == ENOSYS || errno == EBADF || errno == EPERM || errno == EINVAL) possible = false;
    return 0;
  }
  size_t whole = 0;
  for (uint64_t left = static_cast<uint64_t>(dropped); whole < count && runs[whole]->size() <= left; whole++) {
    left -= runs[whole]->size();
  }
  return whole;
}

class Discarding {
 public:
  Discarding(Mapping& mapping, const std::vector<PageRange>& ranges)
      : mapping_(mapping), runs_(Joined(ranges)), count_(ranges.size()) {}

  Discarded Run() {
    switch (mapping_.kind()) {
      case MappingKind::kAnonymous: {
        std::vector<const Joint*> all;
        all.reserve(runs_.size());
        for (const auto& run : runs_) all.push_back(&run);
        DropAll(all);
        break;
      }
      case MappingKind::kShared:
        for (const auto& run : runs_) Done(run, Punch(run.range));
        break;
      case MappingKind::kPrivateFile:
        RunPrivateFile();
        break;
    }
    return result_;
  }

 private:
  // Dropping a page of a private file mapping brings the file's content back. Where that is a hole, it is what is
  // wanted. Elsewhere anonymous memory is laid over it, and where there may be no more of that, zeros are written.
  void RunPrivateFile() {
    // A dump that runs meanwhile (which it should not) sees each page as it was or as zero.
    const std::lock_guard lock(mapping_.overlays_mutex());
    BackingReader backing(mapping_);
    std::vector<const Joint*> without_data, costly;
    for (const auto& run : runs_) {
      if (overlays_.Covers(run.range) || !HasDataBehind(run.range, backing)) {
        without_data.push_back(&run);
      } else if (overlays_.CostsNothing(run.range)) {
        Done(run, Lay(run.range) ? run.size() : WriteZeros(run.range, backing));
      } else {
        costly.push_back(&run);
      }
    }
    DropAll(without_data);
    // What frees most comes first.
    std::stable_sort(costly.begin(), costly.end(), [](const Joint* a, const Joint* b) { return a->size() > b->size(); });
    for (const Joint* run : costly) Done(*run, Lay(run->range) ? run->size() : WriteZeros(run->range, backing));
  }

  // Whether dropping all of `range` would bring data back.
  bool HasDataBehind(const PageRange& range, BackingReader& backing) const {
    uint64_t at = range.start;
    while (const auto data = backing.NextData(at, range.end)) {
      if (!overlays_.Covers(*data)) return true;
      at = data->end;
    }
    return false;
  }

  void DropAll(const std::vector<const Joint*>& runs) {
    size_t at = 0;
    while (at < runs.size()) {
      const size_t end = at + DropTogether(mapping_.base(), &runs[at], runs.size() - at);
      if (end == at) {
        Done(*runs[at], Drop(runs[at]->range));
        at++;
      }
      for (; at < end; at++) Done(*runs[at], runs[at]->size());
    }
  }

  uint64_t Drop(const PageRange& range) {
    if (madvise(mapping_.base() + range.start, range.end - range.start, MADV_DONTNEED) != 0) {
      Fail("madvise(MADV_DONTNEED)");
    }
    return range.end - range.start;
  }

  uint64_t Punch(const PageRange& range) {
    int result;
    do {
      result = fallocate(mapping_.backing_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(range.start), static_cast<off_t>(range.end - range.start));
    } while (result != 0 && errno == EINTR);
    if (result != 0) Fail("fallocate(FALLOC_FL_PUNCH_HOLE)");
    return range.end - range.start;
  }

  bool Lay(const PageRange& range) {
    if (!overlays_.Admit(range, mapping_.base())) return false;
    uint8_t* start = mapping_.base() + range.start;
    const uint64_t size = range.end - range.start;
    if (mmap(start, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
        MAP_FAILED) {
      if (errno == ENOMEM) return false;  // somebody else used up the mappings of this process
      Fail("mmap");
    }
    // As the rest of the mapping is, without which neighbouring overlays would not become one.
    madvise(start, size, MADV_DONTDUMP);
    overlays_.Add(range);
    return true;
  }

  // Returns how much of it could be given back all the same.
  uint64_t WriteZeros(const PageRange& range, BackingReader& backing) {
    uint64_t dropped = 0;
    uint64_t at = range.start;  // dealt with so far
    uint64_t next = range.start;
    while (const auto data = backing.NextData(next, range.end)) {
      for (const PageRange& part : overlays_.Outside(*data)) {
        if (part.start > at) dropped += Drop({at, part.start});
        for (uint64_t page = part.start; page < part.end; page += kPageSize) {
          // Looking first: a page of zeros that is still the file's would become one of our own.
          if (!IsZeroPage(mapping_.base() + page)) std::memset(mapping_.base() + page, 0, kPageSize);
        }
        at = part.end;
      }
      next = data->end;
    }
    if (at < range.end) dropped += Drop({at, range.end});
    return dropped;
  }

  void Done(const Joint& run, uint64_t discarded) {
    done_ += run.count;
    result_.discarded += discarded;
    result_.zeroed += run.size() - discarded;
  }

  [[noreturn]] void Fail(const char* operation) const {
    throw SystemFailure(operation, errno,
                        "giving back guest memory, with " + std::to_string(done_) + " of " + std::to_string(count_) +
                            " ranges done");
  }

  Mapping& mapping_;
  Overlays& overlays_ = mapping_.overlays();
  const std::vector<Joint> runs_;
  const size_t count_;
  size_t done_ = 0;
  Discarded result_;
};

}  // namespace

Discarded Discard(Mapping& mapping, const std::vector<PageRange>& ranges) { return Discarding(mapping, ranges).Run(); }

}  // namespace cryovm
