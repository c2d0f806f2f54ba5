#include "page_packer.h"

#include "page_range.h"

namespace cryovm {
namespace {

// What was looked at is then still in the processor's cache; a call for as much costs nothing beside the copying.
constexpr uint64_t kLargestWrite = 512 * 1024;

}  // namespace

PagePacker::PagePacker(Fd fd, uint64_t file_offset, uint64_t chunk_bytes)
    : file_offset_(file_offset), chunks_(chunk_bytes) {
  if (fd) file_.emplace(std::move(fd));
}

void PagePacker::AddPage(uint64_t offset, const uint8_t* page) {
  chunks_.Add(packed_, page);
  if (!runs_.empty() && !runs_.back().is_zero && runs_.back().offset + runs_.back().size == offset) {
    runs_.back().size += kPageSize;
  } else {
    runs_.push_back({offset, kPageSize, false, file_offset_ + packed_});
  }
  packed_ += kPageSize;
  if (file_.has_value()) Gather(page);
}

void PagePacker::AddZeros(uint64_t offset, uint64_t size) {
  if (!runs_.empty() && runs_.back().is_zero && runs_.back().offset + runs_.back().size == offset) {
    runs_.back().size += size;
  } else {
    runs_.push_back({offset, size, true, 0});
  }
  zeros_ += size;
}

void PagePacker::Gather(const uint8_t* page) {
  iovec* const last = part_count_ == 0 ? nullptr : &parts_[part_count_ - 1];
  if (last != nullptr && static_cast<const uint8_t*>(last->iov_base) + last->iov_len == page) {
    last->iov_len += kPageSize;
  } else {
    parts_[part_count_++] = {const_cast<uint8_t*>(page), kPageSize};
  }
  gathered_ += kPageSize;
  if (part_count_ == parts_.size() || gathered_ == kLargestWrite) Flush();
}

void PagePacker::Flush() {
  if (gathered_ == 0) return;
  file_->Write(parts_.data(), part_count_, file_offset_ + packed_ - gathered_);
  part_count_ = 0;
  gathered_ = 0;
}

void PagePacker::Finish() {
  Flush();
  digests_ = chunks_.Finish(packed_);
}

}  // namespace cryovm
