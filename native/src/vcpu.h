// One vCPU and its thread.
//
// The JavaScript thread commands (run, park, leave) and never waits for the vCPU thread; the vCPU thread reports
// through atomics and a signal to the event loop. While the vCPU is parked, its file descriptor is the JavaScript
// thread's to use.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "fd.h"
#include "status_cells.h"

namespace cryovm {

// The mapping of struct kvm_run, which JavaScript may look at longer than the vCPU lives.
class RunPage {
 public:
  RunPage(int vcpu_fd, size_t size);
  ~RunPage();
  RunPage(const RunPage&) = delete;
  RunPage& operator=(const RunPage&) = delete;

  struct kvm_run* run() const { return static_cast<struct kvm_run*>(memory_); }
  size_t size() const { return size_; }

 private:
  void* memory_;
  size_t size_;
};

enum class StopReason { kPaused, kExit, kError, kHandler };

struct Stop {
  StopReason reason;
  uint32_t exit_reason;
  int error;
};

class Vcpu {
 public:
  Vcpu(Fd fd, std::shared_ptr<RunPage> page) : fd_(std::move(fd)), page_(std::move(page)) {}

  int fd() const { return fd_.get(); }
  const std::shared_ptr<RunPage>& page() const { return page_; }

  // Makes the thread, parked. `signal` tells the event loop to look; `left` runs in the thread as its last act.
  void StartThread(int index, StatusCells* cells, std::function<void()> signal, std::function<void()> left);
  void Join();
  // After every thread has left.
  void Release();

  bool parked() const { return parked_.load(std::memory_order_acquire); }
  // Only while parked.
  void Start();
  void AskPark();
  void AskLeave();

  // Whether the vCPU waits for JavaScript to answer an access.
  bool waits() const;
  // Lets it go on, or park because the answer failed.
  void Answer(bool answered);

  // What it parked itself for, once.
  bool TakeStop(Stop* stop);

 private:
  // The low bits of the command word. The rest counts the starts, so that one that is followed at once by a pause is
  // still seen, and answered by parking anew.
  enum Command : uint32_t { kPark, kRun, kLeave, kCommandMask = 3, kNextStart = 4 };
  enum class Access : uint32_t { kNone, kWaiting, kSleeping, kAnswered, kFailed };

  void Main();
  void RunUntilParked();
  // False when the handler failed.
  bool AskJavaScript();
  void Park();
  void StopSelf(StopReason reason, uint32_t exit_reason, int error);
  Command command() const { return static_cast<Command>(command_ & kCommandMask); }
  void Kick(const RunPage& page);

  Fd fd_;
  std::shared_ptr<RunPage> page_;
  StatusCells* cells_ = nullptr;
  std::function<void()> signal_;
  std::function<void()> left_;
  std::thread thread_;
  std::atomic<uint32_t> command_{kPark};
  std::atomic<Access> access_{Access::kNone};
  std::atomic<bool> parked_{true};
  std::atomic<bool> stopped_{false};  // stop_ is there to be taken
  Stop stop_{};
};

}  // namespace cryovm
