#include "file_digest.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "file_data.h"
#include "zero_page.h"

namespace cryovm {
namespace {

// Small enough to be in the processor's cache still when it is digested.
constexpr uint64_t kPiece = 512 * 1024;

void AddPages(const uint8_t* bytes, uint64_t size, uint64_t offset, ChunkDigests& chunks) {
  for (uint64_t at = 0; at < size; at += kPageSize) {
    if (!IsZeroPage(bytes + at)) chunks.Add(offset + at, bytes + at);
  }
}

}  // namespace

void FileDigest::Do() {
  FileData data(file_.get(), range_.start);
  std::vector<uint8_t> buffer(kPiece);
  const uint64_t size = range_.end - range_.start;
  uint64_t at = 0;
  while (const auto next = data.Next(at, size)) {
    CheckAborted();
    at = next->start;
    const uint64_t piece = std::min(next->end - at, kPiece);
    const uint64_t got = Read(range_.start + at, piece, buffer.data());
    std::memset(buffer.data() + got, 0, piece - got);
    AddPages(buffer.data(), piece, at, chunks_);
    at += piece;
    SetScanned(at);
  }
  digests_ = chunks_.Finish(size);
  SetScanned(size);
}

uint64_t FileDigest::Read(uint64_t offset, uint64_t size, uint8_t* into) const {
  uint64_t have = 0;
  while (have < size) {
    const ssize_t got = pread(file_.get(), into + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemFailure("pread", errno, "reading a file to digest it");
    if (got == 0) break;
    have += static_cast<uint64_t>(got);
  }
  return have;
}

std::vector<uint8_t> DigestBytes(const uint8_t* bytes, uint64_t size, uint64_t chunk_bytes) {
  ChunkDigests chunks(chunk_bytes);
  AddPages(bytes, size, 0, chunks);
  return chunks.Finish(size);
}

}  // namespace cryovm
