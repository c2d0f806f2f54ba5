// Which pages a diff looks at.
#pragma once

#include <cstdint>
#include <vector>

#include "mapping.h"
#include "page_range.h"
#include "pagemap.h"

namespace cryovm {

class Candidates {
 public:
  static Candidates All() { return Candidates(Kind::kAll, {}); }
  // The pages that are a private file mapping's own.
  static Candidates Written() { return Candidates(Kind::kWritten, {}); }
  // All that were ever written, given those that were ever discarded: one bit a page, from the lowest.
  static Candidates Touched(std::vector<uint64_t> discarded) {
    return Candidates(Kind::kTouched, std::move(discarded));
  }
  // One bit a page, from the lowest.
  static Candidates Bitmap(std::vector<uint64_t> words) { return Candidates(Kind::kBitmap, std::move(words)); }

  bool is_all() const { return kind_ == Kind::kAll; }

  // Those in [from, to), ascending, not adjacent. Throws Failure.
  std::vector<PageRange> Find(Mapping& mapping, PageMap& pages, uint64_t from, uint64_t to) const;

 private:
  enum class Kind { kAll, kWritten, kTouched, kBitmap };

  Candidates(Kind kind, std::vector<uint64_t> words) : kind_(kind), words_(std::move(words)) {}
  std::vector<PageRange> FindInBitmap(uint64_t from, uint64_t to) const;

  Kind kind_;
  std::vector<uint64_t> words_;
};

}  // namespace cryovm
