#include "dump.h"

#include <algorithm>

#include "zero_page.h"

namespace cryovm {
namespace {

// Written at once: what was looked at is then still in the processor's cache. An abort waits at most for one.
constexpr uint64_t kPiece = 512 * 1024;
constexpr uint64_t kWindow = 64 * 1024 * 1024;  // an abort is noticed after as much that was never touched

}  // namespace

void Dump::Do() {
  ContentReader reader(*mapping_);
  for (uint64_t at = 0; at < size_;) {
    CheckAborted();
    const uint64_t end = std::min(at + kWindow, size_);
    while (at < end) {
      const Content content = reader.Next(at, end);
      Write(content);
      at = content.end;
    }
    SetScanned(at);
  }
  written_ = file_->written();
  digests_ = chunks_.Finish(size_);
}

void Dump::LetGo() {
  mapping_.reset();
  file_.reset();
}

void Dump::Write(const Content& content) {
  const auto page = [&](uint64_t offset) { return content.data + (offset - content.start); };
  uint64_t at = content.start;
  while (at < content.end) {
    CheckAborted();
    const uint64_t limit = std::min(content.end, at + kPiece);
    while (at < limit && IsZeroPage(page(at))) at += kPageSize;
    const uint64_t start = at;
    for (; at < limit && !IsZeroPage(page(at)); at += kPageSize) chunks_.Add(at, page(at));
    if (at > start) {
      iovec part = {const_cast<uint8_t*>(page(start)), at - start};
      file_->Write(&part, 1, file_offset_ + start);
    }
    SetScanned(at);
  }
}

}  // namespace cryovm
