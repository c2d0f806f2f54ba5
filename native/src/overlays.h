// Which parts of a private file mapping have anonymous memory laid over them, and how many mappings that takes.
//
// A guest chooses what it gives away, so the number is limited, for one guest's memory and for the whole process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mapping_share.h"
#include "page_range.h"

namespace cryovm {

class Overlays {
 public:
  static constexpr uint64_t kDefaultLimit = 2048;

  explicit Overlays(uint64_t limit) : limit_(limit) {}
  Overlays(const Overlays&) = delete;
  Overlays& operator=(const Overlays&) = delete;

  bool Covers(const PageRange& range) const;
  // The parts of `range` with an overlay, ascending and not adjacent.
  std::vector<PageRange> Inside(const PageRange& range) const;
  // The parts of `range` without an overlay, ascending.
  std::vector<PageRange> Outside(const PageRange& range) const;

  // Whether an overlay of `range` would be no additional mapping.
  bool CostsNothing(const PageRange& range) const { return CostOf(range) <= 0; }
  // Whether one may be laid over `range`. Afterwards `Add` of that range cannot fail. `base`: where the memory starts.
  bool Admit(const PageRange& range, const uint8_t* base);
  void Add(const PageRange& range) noexcept;

 private:
  struct Overlay {
    uint64_t start, end;
    // Mappings that this may consist of: overlays that were touched before something between them joined them stay
    // apart for the kernel (each has its own anon_vma).
    uint64_t mappings;
  };
  struct Touched {
    size_t first, last;  // indices of the overlays that a range meets or adjoins: [first, last)
    uint64_t mappings;   // of those now
    uint64_t kept;       // of those when a new overlay has been laid over the range, which merges into what it adjoins
  };
  Touched TouchedBy(const PageRange& range) const;
  int64_t CostOf(const PageRange& range) const;
  uint64_t LimitFor(const PageRange& range) const;
  bool HasRoomFor(const PageRange& range) const;
  void Recount(const uint8_t* base);

  uint64_t limit_;
  MappingShare share_;
  uint64_t joins_ = 0;  // since the mappings were counted last
  std::vector<Overlay> overlays_;  // ascending, with gaps between them
};

}  // namespace cryovm
