// Something that takes long, done on a thread of its own: how far it is, how it is stopped, how it ended. No JavaScript
// in here.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "failure.h"

namespace cryovm {

class Work {
 public:
  virtual ~Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // All of it, in the caller's thread. Failure in `failure()`.
  void Run();

  // From any thread.
  void Abort() { aborted_ = true; }
  uint64_t scanned() const { return scanned_; }

  // Once it has run.
  const std::optional<Failure>& failure() const { return failure_; }

 protected:
  // For errors: the operation's name, and what is being done.
  Work(const char* operation, const char* doing) : operation_(operation), doing_(doing) {}

  // Throws Failure.
  virtual void Do() = 0;
  // Lets go of memory and files: whoever waits for the end may close or remove them next, long before the result is
  // collected.
  virtual void LetGo() = 0;

  void CheckAborted() const;
  void SetScanned(uint64_t bytes) { scanned_ = bytes; }

 private:
  const char* operation_;
  const char* doing_;
  std::atomic<bool> aborted_{false};
  std::atomic<uint64_t> scanned_{0};
  std::optional<Failure> failure_;
};

}  // namespace cryovm
