// One mapping of guest memory: no JavaScript in here, so that any thread may be the last to let go of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "fd.h"
#include "laid.h"
#include "overlays.h"
#include "page_range.h"

namespace cryovm {

class PageMap;

constexpr uint64_t kHugePageSize = 2 * 1024 * 1024;

enum class MappingKind {
  kAnonymous,
  kPrivateFile,
  kShared,  // a memfd of ours
};

// Address space that is given back.
class AddressRange {
 public:
  // Of nothing yet, aligned for huge pages. Throws Failure.
  explicit AddressRange(uint64_t size);
  ~AddressRange();
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  uint8_t* start() const { return start_; }
  uint64_t size() const { return size_; }

 private:
  uint8_t* start_;
  uint64_t size_;
};

// Where a mapping's content comes from.
struct MappingSource {
  BackingFile file;
  uint64_t offset = 0;
  Laid laid = {};
  uint64_t maximum_laid_runs = Laid::kDefaultLimit;
  uint64_t maximum_overlays = Overlays::kDefaultLimit;
};

class Mapping {
 public:
  static std::shared_ptr<Mapping> Anonymous(uint64_t size);
  static std::shared_ptr<Mapping> PrivateFile(uint64_t size, MappingSource source);
  static std::shared_ptr<Mapping> Shared(uint64_t size);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // What is laid over the memory may still be on its way into it: to be called before anything looks at its content or
  // writes to it. By one thread only. Throws Failure, and does on every later call.
  void Complete() { copier_.Finish(); }

  uint8_t* base() const { return range_.start(); }
  uint64_t size() const { return range_.size(); }
  MappingKind kind() const { return kind_; }
  // The file of a private mapping, or the memfd; -1 for anonymous memory.
  int backing_fd() const { return source_.file.fd.get(); }
  uint64_t backing_offset() const { return source_.offset; }
  // What a private file mapping has had over its file from the start. Does not change.
  const Laid& laid() const { return source_.laid; }
  // Of a private file mapping: where it has been discarded, and is anonymous memory instead. Held while that changes,
  // and to look from another thread than the one that changes it.
  std::mutex& overlays_mutex() { return overlays_mutex_; }
  Overlays& overlays() { return overlays_; }

  // Of a private file mapping: the pages in [from, to) that are its own since it was made, written or discarded;
  // ascending, not adjacent. Without those that only hold what was laid there: laid zeros that are zero, and copied
  // runs that are unchanged.
  std::vector<PageRange> FindOwn(uint64_t from, uint64_t to, PageMap& pages);
  // With those, and with all that have been its own and were not discarded where it has nothing laid over its file.
  std::vector<PageRange> FindTouched(uint64_t from, uint64_t to, PageMap& pages);

 private:
  std::vector<PageRange> FindWritten(uint64_t from, uint64_t to, PageMap& pages) const;
  std::vector<PageRange> FindDiscarded(uint64_t from, uint64_t to);
  Mapping(uint64_t size, MappingKind kind, MappingSource source);

  AddressRange range_;
  MappingKind kind_;
  MappingSource source_;
  std::mutex overlays_mutex_;
  Overlays overlays_;
  Copier copier_;  // last, so that it ends first
};

}  // namespace cryovm
