#include "backing.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "failure.h"

namespace cryovm {
namespace {

void ReadFile(int fd, uint64_t offset, uint64_t size, uint8_t* into) {
  while (size > 0) {
    const ssize_t got = pread(fd, into, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemFailure("pread", errno, "reading the file behind guest memory");
    if (got == 0) throw Refusal("pread", "the file behind guest memory has become shorter");
    const auto read = static_cast<uint64_t>(got);
    offset += read;
    into += read;
    size -= read;
  }
}

}  // namespace

BackingReader::BackingReader(const Mapping& mapping)
    : mapping_(mapping), file_(mapping.backing_fd(), mapping.backing_offset()) {
  for (const BackingFile& file : mapping.laid().files()) laid_files_.emplace_back(file.fd.get(), 0);
}

BackingReader::Piece BackingReader::PieceAt(uint64_t from, uint64_t to) {
  const std::vector<LaidRun>& runs = mapping_.laid().runs();
  // Mostly the one of the last time, or the next.
  if (run_ < runs.size() && runs[run_].end <= from) run_++;
  const bool found = (run_ == runs.size() || runs[run_].end > from) && (run_ == 0 || runs[run_ - 1].end <= from);
  if (!found) run_ = mapping_.laid().FirstBehind(from);
  if (run_ == runs.size()) return {nullptr, to};
  const LaidRun& run = runs[run_];
  if (run.start > from) return {nullptr, std::min(to, run.start)};
  return {&run, std::min(to, run.end)};
}

std::optional<PageRange> BackingReader::NextData(uint64_t from, uint64_t to) {
  std::optional<PageRange> found;
  while (from < to) {
    const Piece piece = PieceAt(from, to);
    const auto data = piece.run == nullptr ? file_.Next(from, piece.end) : NextDataOfRun(*piece.run, from, piece.end);
    if (found.has_value() && (!data.has_value() || data->start > from)) break;
    if (data.has_value()) {
      if (!found.has_value()) found = data;
      found->end = data->end;
      if (data->end < piece.end) break;
    }
    from = piece.end;
  }
  return found;
}

std::optional<PageRange> BackingReader::NextDataOfRun(const LaidRun& run, uint64_t from, uint64_t to) {
  // Dropping such a page brings back what the run was laid over.
  if (run.copied) return PageRange{from, to};
  if (run.file == LaidRun::kZeros) return std::nullopt;
  // Wraps around, and back again.
  const uint64_t shift = run.file_offset - run.start;
  auto data = laid_files_[static_cast<size_t>(run.file)].Next(from + shift, to + shift);
  if (data.has_value()) data = PageRange{data->start - shift, data->end - shift};
  return data;
}

void BackingReader::Read(uint64_t offset, uint64_t size, uint8_t* into) {
  while (size > 0) {
    const Piece piece = PieceAt(offset, offset + size);
    const uint64_t part = piece.end - offset;
    if (piece.run == nullptr) {
      ReadFile(mapping_.backing_fd(), mapping_.backing_offset() + offset, part, into);
    } else if (piece.run->file == LaidRun::kZeros) {
      std::memset(into, 0, part);
    } else {
      ReadFile(mapping_.laid().files()[static_cast<size_t>(piece.run->file)].fd.get(),
               piece.run->file_offset + offset - piece.run->start, part, into);
    }
    offset += part;
    into += part;
    size -= part;
  }
}

}  // namespace cryovm
