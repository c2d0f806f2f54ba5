// Has the kernel begin to write a file to disk while it is still being written, on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "failure.h"

namespace cryovm {

// The disk is busy from the start instead of only when the file is synced, and whoever writes the file never waits for
// the disk: asking for write-back blocks once the device has enough to do.
class WriteBack {
 public:
  // `fd` stays the caller's and open.
  explicit WriteBack(int fd) : fd_(fd) {}
  ~WriteBack() { Stop(); }
  WriteBack(const WriteBack&) = delete;
  WriteBack& operator=(const WriteBack&) = delete;

  // `size` bytes of the file from `offset` are written; ascending from call to call.
  void Written(uint64_t offset, uint64_t size);
  // Asks for nothing more, and waits for the request under way. Throws Failure when the disk failed: having been told
  // here, the kernel would not tell it again when the file is synced.
  void Finish();

 private:
  struct FileRange {
    uint64_t start, end;
  };

  void Stop();
  void Run();
  // False when there is no more to do.
  bool Await(FileRange& chunk);

  const int fd_;
  std::optional<FileRange> gathered_;
  uint64_t gathered_bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<FileRange> chunks_;
  bool ended_ = false;
  std::optional<Failure> failure_;
  bool possible_ = true;
  std::thread thread_;
};

}  // namespace cryovm
