// Reading what a mapping holds without bringing anything into it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "backing.h"
#include "file_data.h"
#include "mapping.h"
#include "page_range.h"
#include "pagemap.h"

namespace cryovm {

// Whole pages of a mapping, and where their bytes are now; empty where there are none.
struct Content {
  uint64_t start, end;
  const uint8_t* data;
};

// For one thread, and one pass from front to back. Pages that exist are read where they are. What a private file
// mapping has not made its own is read from what lies behind it into a buffer: through the mapping each page would cost
// a fault, and would then count as this process's.
class ContentReader {
 public:
  static constexpr uint64_t kBufferSize = 512 * 1024;

  // `before_reuse`: called before what was read into the buffer is written over. Without it that is at the next call.
  explicit ContentReader(Mapping& mapping, std::function<void()> before_reuse = {});

  // The first pages in [from, to) that may hold something else than zeros; those before them are zero. Empty, at `to`,
  // where there are none. Throws Failure.
  Content Next(uint64_t from, uint64_t to);

 private:
  struct Part {
    PageRange range;
    bool is_in_place;
  };

  void FindParts(uint64_t from, uint64_t to);
  void FindPartsOfPrivateFile();
  void FindPartsOfShared();
  Content Find(uint64_t from, uint64_t to);
  Content ReadBehind(const PageRange& range);

  Mapping& mapping_;
  std::function<void()> before_reuse_;
  PageMap pages_;
  std::optional<BackingReader> backing_;  // of a private file mapping
  std::optional<FileData> memfd_;         // of a shared one
  // Of the part of the mapping that was looked at last.
  PageRange window_ = {0, 0};
  std::vector<Part> parts_;
  size_t part_ = 0;
  // What was answered last, and for which range.
  PageRange asked_ = {0, 0};
  Content found_ = {0, 0, nullptr};
  std::unique_ptr<uint8_t, decltype(&std::free)> buffer_{nullptr, &std::free};
  uint64_t used_ = 0;  // of the buffer
};

}  // namespace cryovm
