#include "write_back.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "failure.h"
#include "thread.h"

namespace cryovm {
namespace {

constexpr uint64_t kFirstChunk = 32 * 1024 * 1024;  // less is not worth a thread
constexpr uint64_t kChunk = 4 * 1024 * 1024;
// Keeps a disk busy. With much more under way the kernel holds back whoever asks for write-back, and who writes the file
// is slower, too.
constexpr size_t kUnderWay = 8;
constexpr auto kPollInterval = std::chrono::microseconds(500);

// From linux/mman.h of 6.5, spelt out so that the addon compiles with older headers.
constexpr long kSysCachestat = 451;
struct CachestatRange {
  uint64_t offset, length;
};
struct Cachestat {
  uint64_t cached, dirty, under_write_back, evicted, recently_evicted;
};

// Whether some of the range is on its way to the disk now. Kernels that cannot tell say no, and then only hold back by
// themselves.
bool IsUnderWriteBack(int fd, uint64_t start, uint64_t end) {
  CachestatRange range = {start, end - start};
  Cachestat state = {};
  return syscall(kSysCachestat, fd, &range, &state, 0) == 0 && state.under_write_back > 0;
}

}  // namespace

WriteBack::~WriteBack() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  JoinThread(thread_);
}

void WriteBack::Written(uint64_t offset, uint64_t size) {
  if (!possible_) return;
  if (!gathered_.has_value()) gathered_ = FileRange{offset, offset};
  gathered_->end = offset + size;
  gathered_bytes_ += size;
  if (gathered_bytes_ < (thread_.joinable() ? kChunk : kFirstChunk)) return;
  {
    const std::lock_guard lock(mutex_);
    chunks_.push_back(*gathered_);
  }
  changed_.notify_one();
  gathered_.reset();
  gathered_bytes_ = 0;
  if (thread_.joinable()) return;
  try {
    thread_ = StartThread("cryovm flush", [this] { Run(); });
  } catch (const Failure&) {
    possible_ = false;
  }
}

void WriteBack::Run() {
  std::deque<FileRange> under_way;
  FileRange chunk;
  while (Next(chunk)) {
    if (sync_file_range(fd_, static_cast<off_t>(chunk.start), static_cast<off_t>(chunk.end - chunk.start),
                        SYNC_FILE_RANGE_WRITE) != 0) {
      return;  // not possible with every file
    }
    under_way.push_back(chunk);
    if (under_way.size() < kUnderWay) continue;
    AwaitWritten(under_way.front());
    under_way.pop_front();
  }
}

bool WriteBack::Next(FileRange& chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !chunks_.empty(); });
  if (ended_) return false;
  chunk = chunks_.front();
  chunks_.pop_front();
  return true;
}

// By asking again and again: a call that waits for the disk could not be ended before the disk is ready.
void WriteBack::AwaitWritten(const FileRange& chunk) {
  while (IsUnderWriteBack(fd_, chunk.start, chunk.end)) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPollInterval, [this] { return ended_; })) return;
  }
}

}  // namespace cryovm
