#include "dump.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "backing.h"
#include "file_data.h"
#include "zero_page.h"

namespace cryovm {
namespace {

constexpr uint64_t kPiece = 4 * 1024 * 1024;    // largest single write: an abort waits at most for one
constexpr uint64_t kWindow = 64 * 1024 * 1024;  // the kernel is asked about this much at a time
constexpr uint64_t kFlush = 32 * 1024 * 1024;

}  // namespace

void Dump::Run() {
  try {
    PageMap pages;
    const uint64_t size = mapping_->size();
    for (uint64_t at = 0; at < size; at += kWindow) {
      const uint64_t end = std::min(at + kWindow, size);
      WriteRange(at, end, pages);
      scanned_ = end;
    }
  } catch (const Failure& failure) {
    failure_ = failure;
  } catch (const std::bad_alloc&) {
    failure_ = SystemFailure("malloc", ENOMEM, "writing guest memory");
  }
  // Not kept until the promise is collected: whoever waits for the dump may close the memory next.
  mapping_.reset();
  fd_.Reset();
}

void Dump::WriteRange(uint64_t from, uint64_t to, PageMap& pages) {
  CheckAborted();
  switch (mapping_->kind()) {
    case MappingKind::kAnonymous:
      return WriteAnonymous(from, to, pages);
    case MappingKind::kPrivateFile:
      return WritePrivateFile(from, to, pages);
    case MappingKind::kShared:
      return WriteShared(from, to);
  }
}

void Dump::WriteAnonymous(uint64_t from, uint64_t to, PageMap& pages) {
  for (const PageRange& range : pages.Find(mapping_->base(), from, to, PageKind::kPopulated)) {
    WriteData(mapping_->base() + range.start, range.end - range.start, range.start);
  }
}

void Dump::WritePrivateFile(uint64_t from, uint64_t to, PageMap& pages) {
  const std::vector<PageRange> written = pages.Find(mapping_->base(), from, to, PageKind::kPrivate);
  std::vector<PageRange> of_file;
  {
    // Not before the pages were looked at: what is discarded between the two is then known to be no longer the file's.
    const std::lock_guard lock(mapping_->overlays_mutex());
    of_file = mapping_->overlays().Outside({from, to});
  }
  BackingReader backing(*mapping_);
  size_t next = 0;
  const auto copy = [&](uint64_t start, uint64_t end) {
    for (; next < of_file.size() && of_file[next].start < end; next++) {
      CopyFromFile(std::max(start, of_file[next].start), std::min(end, of_file[next].end), backing);
      if (of_file[next].end > end) break;
    }
  };
  uint64_t at = from;
  for (const PageRange& range : written) {
    copy(at, range.start);
    WriteData(mapping_->base() + range.start, range.end - range.start, range.start);
    at = range.end;
  }
  copy(at, to);
}

void Dump::WriteShared(uint64_t from, uint64_t to) {
  FileData file(mapping_->backing_fd(), 0);
  uint64_t at = from;
  while (const auto data = file.Next(at, to)) {
    WriteData(mapping_->base() + data->start, data->end - data->start, data->start);
    at = data->end;
  }
}

void Dump::CopyFromFile(uint64_t from, uint64_t to, BackingReader& backing) {
  uint64_t at = from;
  while (const auto data = backing.NextData(at, to)) {
    at = data->start;
    const uint64_t end = data->end;
    if (bounce_ == nullptr) bounce_.reset(static_cast<uint8_t*>(std::aligned_alloc(kPageSize, kPiece)));
    if (bounce_ == nullptr) throw std::bad_alloc();
    while (at < end) {
      CheckAborted();
      const uint64_t size = std::min(end - at, kPiece);
      backing.Read(at, size, bounce_.get());
      WriteData(bounce_.get(), size, at);
      at += size;
    }
  }
}

void Dump::WriteData(const uint8_t* data, uint64_t size, uint64_t offset) {
  uint64_t at = 0;
  while (at < size) {
    CheckAborted();
    const uint64_t limit = std::min(size, at + kPiece);
    while (at < limit && IsZeroPage(data + at)) at += kPageSize;
    const uint64_t start = at;
    while (at < limit && !IsZeroPage(data + at)) at += kPageSize;
    if (at > start) WriteAll(data + start, at - start, file_offset_ + offset + start);
    scanned_ = offset + at;
  }
}

void Dump::WriteAll(const uint8_t* data, uint64_t size, uint64_t file_offset) {
  uint64_t done = 0;
  while (done < size) {
    const ssize_t wrote = pwrite(fd_.get(), data + done, size - done, static_cast<off_t>(file_offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw SystemFailure("pwrite", errno, "writing guest memory to the file");
    if (wrote == 0) throw SystemFailure("pwrite", EIO, "writing guest memory to the file");
    done += static_cast<uint64_t>(wrote);
  }
  if (written_ == flushed_from_) unflushed_start_ = file_offset;
  written_ += size;
  if (written_ - flushed_from_ >= kFlush) {
    // Only a hint, so that the disk is busy while the rest is still looked at; what it returns does not matter.
    sync_file_range(fd_.get(), static_cast<off_t>(unflushed_start_),
                    static_cast<off_t>(file_offset + size - unflushed_start_), SYNC_FILE_RANGE_WRITE);
    flushed_from_ = written_;
  }
}

void Dump::CheckAborted() const {
  if (aborted_) throw SystemFailure("dump", ECANCELED, "writing guest memory");
}

}  // namespace cryovm
