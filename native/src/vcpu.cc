#include "vcpu.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <chrono>
#include <string>

#include "failure.h"
#include "futex.h"
#include "thread.h"

namespace cryovm {
namespace {

// How long a vCPU looks for the answer of JavaScript before it sleeps: falling asleep and being woken costs tens of
// microseconds, more than the answer to a simple access takes. It yields while it looks, for where both threads share
// a processor the answer would come only after the wait.
constexpr auto kSpin = std::chrono::microseconds(50);

}  // namespace

RunPage::RunPage(int vcpu_fd, size_t size)
    : memory_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0)), size_(size) {
  if (memory_ == MAP_FAILED) throw SystemFailure("mmap", errno, "mapping struct kvm_run of a vCPU");
}

RunPage::~RunPage() { munmap(memory_, size_); }

void Vcpu::StartThread(int index, StatusCells* cells, std::function<void()> signal, std::function<void()> left) {
  cells_ = cells;
  signal_ = std::move(signal);
  left_ = std::move(left);
  const std::string name = "cryovm vcpu " + std::to_string(index);
  thread_ = cryovm::StartThread(name.c_str(), [this] { Main(); }, true);
}

void Vcpu::Join() { JoinThread(thread_); }

void Vcpu::Release() {
  page_.reset();
  fd_.Reset();
}

void Vcpu::Start() {
  parked_.store(false, std::memory_order_relaxed);
  __atomic_store_n(&page_->run()->immediate_exit, 0, __ATOMIC_SEQ_CST);
  command_ = ((command_ & ~kCommandMask) + kNextStart) | kRun;
  FutexWake(command_);
}

// The order matters: the vCPU thread clears immediate_exit before it looks at the command, so that one of the two is
// always seen.
void Vcpu::AskPark() {
  command_ = (command_ & ~kCommandMask) | kPark;
  Kick(*page_);
}

void Vcpu::AskLeave() {
  // Once told, the last thread releases everything at any moment.
  const std::shared_ptr<RunPage> page = page_;
  command_ = kLeave;
  FutexWake(command_);
  Kick(*page);
  if (waits()) Answer(true);
}

void Vcpu::Kick(const RunPage& page) {
  __atomic_store_n(&page.run()->immediate_exit, 1, __ATOMIC_SEQ_CST);
  pthread_kill(thread_.native_handle(), KickSignal());
}

bool Vcpu::waits() const {
  const Access access = access_;
  return access == Access::kWaiting || access == Access::kSleeping;
}

void Vcpu::Answer(bool answered) {
  const Access before = access_.exchange(answered ? Access::kAnswered : Access::kFailed);
  if (before == Access::kSleeping) FutexWake(access_);
}

bool Vcpu::TakeStop(Stop* stop) {
  if (!stopped_.load(std::memory_order_acquire)) return false;
  *stop = stop_;
  stopped_ = false;
  return true;
}

void Vcpu::Main() {
  uint32_t start = 0;
  for (;;) {
    const uint32_t word = command_;
    if ((word & kCommandMask) == kLeave) break;
    if ((word & ~kCommandMask) == start) {
      FutexWait(command_, word);
    } else {
      start = word & ~kCommandMask;
      RunUntilParked();
    }
  }
  left_();
}

void Vcpu::Park() {
  parked_.store(true, std::memory_order_release);
  signal_();
}

void Vcpu::RunUntilParked() {
  struct kvm_run* run = page_->run();
  for (;;) {
    const Command asked = command();
    if (asked == kLeave) return;
    // KVM finishes an MMIO or port access only when KVM_RUN is entered again, and may then ask for a further piece
    // of it. With immediate_exit it does just that, and returns EINTR once nothing is left to finish: the registers
    // are those after the instruction.
    const bool finishing = asked == kPark;
    if (finishing) __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (ioctl(fd_.get(), KVM_RUN, 0) != 0) {
      const int error = errno;
      // EAGAIN: a processor that waits to be started by another has been told something.
      if (error != EINTR && error != EAGAIN) return StopSelf(StopReason::kError, run->exit_reason, error);
      if (finishing) return Park();
      __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
      continue;
    }
    switch (run->exit_reason) {
      case KVM_EXIT_INTR:
        break;
      case KVM_EXIT_MMIO:
        if (cells_->Answer(run)) break;
        [[fallthrough]];
      case KVM_EXIT_IO:
        if (!AskJavaScript()) return StopSelf(StopReason::kHandler, run->exit_reason, 0);
        break;
      default:
        return StopSelf(StopReason::kExit, run->exit_reason, 0);
    }
  }
}

bool Vcpu::AskJavaScript() {
  access_ = Access::kWaiting;
  // Asked to leave between the last look and now: nobody would answer any more.
  if (command() == kLeave) {
    access_ = Access::kNone;
    return true;
  }
  signal_();
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  while (access_ == Access::kWaiting && std::chrono::steady_clock::now() < deadline) sched_yield();
  Access expected = Access::kWaiting;
  if (access_.compare_exchange_strong(expected, Access::kSleeping)) {
    while (access_ == Access::kSleeping) FutexWait(access_, Access::kSleeping);
  }
  return access_.exchange(Access::kNone) == Access::kAnswered;
}

void Vcpu::StopSelf(StopReason reason, uint32_t exit_reason, int error) {
  stop_ = Stop{reason, exit_reason, error};
  stopped_.store(true, std::memory_order_release);
  // Otherwise the thread would run on: nobody asked it to park. A command to leave stays.
  uint32_t running = (command_ & ~kCommandMask) | kRun;
  command_.compare_exchange_strong(running, (running & ~kCommandMask) | kPark);
  Park();
}

}  // namespace cryovm
