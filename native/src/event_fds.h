// Guest to host (ioeventfd) and host to guest (irqfd) without an exit to user space.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "fd.h"
#include "instance.h"

namespace cryovm {

struct NotifierAddress {
  bool pio;
  uint64_t address;
  uint32_t length;
  std::optional<uint64_t> datamatch;
};

// A guest's write that makes libuv call back.
class Notifier {
 public:
  Notifier(int vm, const NotifierAddress& address, std::shared_ptr<Instance> instance, std::function<void()> notified);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Takes it away from a virtual machine that goes on.
  void Deassign(int vm);

 private:
  // libuv's handle, freed when libuv has let go of it.
  struct Box {
    uv_poll_t handle;
    std::shared_ptr<Instance> instance;
    std::function<void()> notified;
    int fd;
  };
  void Assign(int vm, uint32_t flags, const char* doing);

  NotifierAddress address_;
  Fd event_;
  Box* box_ = nullptr;
};

// An interrupt line that a write to an eventfd pulses.
class Interrupt {
 public:
  Interrupt(int vm, uint32_t gsi);
  void Deassign(int vm);
  void Raise();

 private:
  void Assign(int vm, uint32_t flags, const char* doing);

  uint32_t gsi_;
  Fd event_;
};

}  // namespace cryovm
