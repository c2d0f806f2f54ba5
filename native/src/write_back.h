// Has the kernel begin to write a file to disk while it is still being written, on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace cryovm {

// The disk is busy from the start instead of only when the file is synced, and whoever writes the file does not wait for
// it. Only a hint: whether the file came to the disk is told by syncing it.
class WriteBack {
 public:
  // `fd` stays the caller's and open.
  explicit WriteBack(int fd) : fd_(fd) {}
  // Asks for nothing more; what was asked for goes on.
  ~WriteBack();
  WriteBack(const WriteBack&) = delete;
  WriteBack& operator=(const WriteBack&) = delete;

  // `size` bytes of the file from `offset` are written; ascending from call to call.
  void Written(uint64_t offset, uint64_t size);

 private:
  struct FileRange {
    uint64_t start, end;
  };

  void Run();
  // False when there is no more to do.
  bool Next(FileRange& chunk);
  // Waits until the disk has `chunk`, or for the end.
  void AwaitWritten(const FileRange& chunk);

  const int fd_;
  std::optional<FileRange> gathered_;
  uint64_t gathered_bytes_ = 0;
  bool possible_ = true;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<FileRange> chunks_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace cryovm
