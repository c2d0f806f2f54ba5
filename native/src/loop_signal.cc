#include "loop_signal.h"

#include "failure.h"

namespace cryovm {

LoopSignal::LoopSignal(std::shared_ptr<Instance> instance, std::function<void()> received)
    : box_(new Box{{}, std::move(instance), std::move(received), {}}) {
  box_->handle.data = box_;
  const int status = uv_async_init(box_->instance->loop(), &box_->handle, [](uv_async_t* handle) {
    Box* box = static_cast<Box*>(handle->data);
    // A copy, because what runs may close and thereby replace it.
    const auto received = box->received;
    if (received) received();
  });
  if (status != 0) {
    delete box_;
    throw SystemFailure("uv_async_init", -status, "making a signal to the event loop");
  }
  box_->instance->HandleOpened();
}

void LoopSignal::Close(std::function<void()> closed) {
  if (box_ == nullptr) return;
  Box* box = box_;
  box_ = nullptr;
  box->received = {};
  box->closed = std::move(closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&box->handle), [](uv_handle_t* handle) {
    std::unique_ptr<Box> box(static_cast<Box*>(handle->data));
    if (box->closed) box->closed();
    box->instance->HandleClosed();
  });
}

}  // namespace cryovm
