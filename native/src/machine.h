// The kernel objects of one virtual machine: descriptors, vCPUs, memory slots. No JavaScript in here.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fd.h"
#include "mapping.h"
#include "status_cells.h"
#include "vcpu.h"

namespace cryovm {

class Machine {
 public:
  // Whatever was made is undone when a later step fails.
  Machine(const std::string& path, uint32_t vcpu_count);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // `signal` makes the event loop look at the vCPUs.
  void StartThreads(std::function<void()> signal);
  // Tells every thread to leave. The last one that does releases the kernel objects, because that takes
  // milliseconds, and signals.
  void AskLeave();
  bool released() const { return released_; }
  void Join();

  bool all_parked() const;
  int fd() const { return fd_.get(); }
  size_t vcpu_count() const { return vcpus_.size(); }
  Vcpu& vcpu(size_t index) { return *vcpus_[index]; }
  const std::shared_ptr<StatusCells>& cells() const { return cells_; }

  void SetRegion(uint32_t slot, uint32_t flags, uint64_t guest_address, std::shared_ptr<Mapping> mapping,
                 uint64_t offset, uint64_t size);
  bool has_manual_dirty_log() const { return has_manual_dirty_log_; }
  // Bytes of slot's memory; throws Failure for one that is not there.
  uint64_t SlotSize(uint32_t slot, const char* operation) const;

 private:
  void Release();

  struct Slot {
    std::shared_ptr<Mapping> mapping;  // the guest can reach it as long as the slot is there
    uint64_t size;
  };

  Fd fd_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::map<uint32_t, Slot> slots_;
  bool has_manual_dirty_log_ = false;
  std::shared_ptr<StatusCells> cells_ = std::make_shared<StatusCells>();
  std::atomic<int> running_{0};  // threads that have not left
  std::atomic<bool> released_{false};
  bool leaving_ = false;
  std::function<void()> signal_;
};

}  // namespace cryovm
