#include "copier.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "thread.h"

namespace cryovm {
namespace {

// Small enough for two threads to share, and below the 1,024 parts that the kernel takes.
constexpr size_t kMaximumParts = 256;
constexpr uint64_t kMaximumSize = 1024 * 1024;

}  // namespace

void Copier::Add(int fd, uint64_t offset, PageRange into) {
  while (into.start < into.end) {
    if (batches_.empty() || !Continues(batches_.back(), fd, offset)) {
      batches_.push_back({fd, offset, 0, parts_.size(), 0});
    }
    Batch& batch = batches_.back();
    const uint64_t size = std::min(into.end - into.start, kMaximumSize - batch.size);
    parts_.push_back({base_ + into.start, size});
    batch.count++;
    batch.size += size;
    into.start += size;
    if (fd != kZeros) offset += size;
  }
}

bool Copier::Continues(const Batch& batch, int fd, uint64_t offset) const {
  return batch.fd == fd && (fd == kZeros || batch.offset + batch.size == offset) && batch.count < kMaximumParts &&
         batch.size < kMaximumSize;
}

Copier::~Copier() {
  next_ = batches_.size();
  JoinThread(helper_);
}

void Copier::Start() {
  // One batch takes less than a thread.
  if (batches_.size() < 2) return;
  try {
    helper_ = StartThread("cryovm copy", [this] { failure_of_helper_ = Work(); });
  } catch (const Failure&) {
    // Then it is all done by `Finish`.
  }
}

void Copier::Finish() {
  if (!failure_.has_value()) failure_ = Work();
  JoinThread(helper_);
  if (!failure_.has_value()) failure_ = failure_of_helper_;
  if (failure_.has_value()) throw *failure_;
}

std::optional<Failure> Copier::Work() {
  try {
    for (size_t at = next_++; at < batches_.size(); at = next_++) Fill(batches_[at]);
  } catch (const Failure& failure) {
    return failure;
  }
  return std::nullopt;
}

void Copier::Fill(const Batch& batch) {
  iovec* part = &parts_[batch.first];
  size_t left = batch.count;
  if (batch.fd == kZeros) {
    for (; left > 0; part++, left--) std::memset(part->iov_base, 0, part->iov_len);
    return;
  }
  uint64_t done = 0;
  while (left > 0) {
    const ssize_t got = preadv(batch.fd, part, static_cast<int>(left), static_cast<off_t>(batch.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemFailure("preadv", errno, "copying a file that lies over guest memory");
    if (got == 0) throw Refusal("preadv", "a file that lies over guest memory has become shorter");
    done += static_cast<uint64_t>(got);
    auto filled = static_cast<size_t>(got);
    for (; left > 0 && filled >= part->iov_len; part++, left--) filled -= part->iov_len;
    if (left > 0) {
      part->iov_base = static_cast<uint8_t*>(part->iov_base) + filled;
      part->iov_len -= filled;
    }
  }
}

}  // namespace cryovm
