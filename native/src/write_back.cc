#include "write_back.h"

#include <fcntl.h>

#include "thread.h"

namespace cryovm {
namespace {

constexpr uint64_t kChunk = 4 * 1024 * 1024;
// Enough to keep a disk busy. With more the kernel's own throttling begins, which takes time from who writes the file.
constexpr size_t kUnderWay = 4;

int SyncRange(int fd, uint64_t start, uint64_t end, unsigned flags) {
  return sync_file_range(fd, static_cast<off_t>(start), static_cast<off_t>(end - start), flags);
}

}  // namespace

void WriteBack::Written(uint64_t offset, uint64_t size) {
  if (!possible_) return;
  if (!gathered_.has_value()) gathered_ = FileRange{offset, offset};
  gathered_->end = offset + size;
  gathered_bytes_ += size;
  if (gathered_bytes_ < kChunk) return;
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
    possible_ = false;  // the file is then written to disk when it is synced
  }
}

void WriteBack::Run() {
  std::deque<FileRange> under_way;
  FileRange chunk;
  while (Await(chunk)) {
    // Not every file can be written back by ranges; syncing the whole tells what is wrong with one that should.
    if (SyncRange(fd_, chunk.start, chunk.end, SYNC_FILE_RANGE_WRITE) != 0) return;
    under_way.push_back(chunk);
    if (under_way.size() <= kUnderWay) continue;
    const FileRange oldest = under_way.front();
    under_way.pop_front();
    if (SyncRange(fd_, oldest.start, oldest.end, SYNC_FILE_RANGE_WAIT_BEFORE) == 0) continue;
    failure_ = SystemFailure("sync_file_range", errno, "writing the file to disk");
    return;
  }
}

bool WriteBack::Await(FileRange& chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !chunks_.empty(); });
  if (ended_) return false;
  chunk = chunks_.front();
  chunks_.pop_front();
  return true;
}

void WriteBack::Stop() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  JoinThread(thread_);
}

void WriteBack::Finish() {
  Stop();
  if (failure_.has_value()) throw *failure_;
}

}  // namespace cryovm
