// A way for any thread to have something run on the JavaScript thread: a uv_async_t of its own.
//
// Not a Node-API thread-safe function: that one locks and queues an object for each call, while here the state is
// already in atomics that the receiver looks at, and libuv joins several signals into one.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>

#include "instance.h"

namespace cryovm {

class LoopSignal {
 public:
  LoopSignal(std::shared_ptr<Instance> instance, std::function<void()> received);
  ~LoopSignal() { Close({}); }
  LoopSignal(const LoopSignal&) = delete;
  LoopSignal& operator=(const LoopSignal&) = delete;

  // From any thread, until Close.
  void Send() { uv_async_send(&box_->handle); }

  // On the JavaScript thread. `closed` runs when libuv has let go, on the JavaScript thread.
  void Close(std::function<void()> closed);

 private:
  // Outlives this object until libuv calls back.
  struct Box {
    uv_async_t handle;
    std::shared_ptr<Instance> instance;
    std::function<void()> received;
    std::function<void()> closed;
  };
  Box* box_;
};

}  // namespace cryovm
