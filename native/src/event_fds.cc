#include "event_fds.h"

#include <sys/eventfd.h>

#include "kvm.h"

namespace cryovm {
namespace {

Fd MakeEvent() {
  Fd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event) throw SystemFailure("eventfd", errno, "making an event descriptor");
  return event;
}

}  // namespace

Notifier::Notifier(int vm, const NotifierAddress& address, std::shared_ptr<Instance> instance,
                   std::function<void()> notified)
    : address_(address), event_(MakeEvent()) {
  Assign(vm, 0, "having the guest's writes to an address notify");
  box_ = new Box{{}, std::move(instance), std::move(notified), event_.get()};
  box_->handle.data = box_;
  const int status = uv_poll_init(box_->instance->loop(), &box_->handle, event_.get());
  if (status != 0) {
    delete box_;
    Deassign(vm);
    throw SystemFailure("uv_poll_init", -status, "waiting for an event descriptor");
  }
  box_->instance->HandleOpened();
  // The virtual machine keeps the event loop alive, not each of its notifiers.
  uv_unref(reinterpret_cast<uv_handle_t*>(&box_->handle));
  uv_poll_start(&box_->handle, UV_READABLE, [](uv_poll_t* handle, int poll_status, int) {
    Box* box = static_cast<Box*>(handle->data);
    uint64_t count;
    if (poll_status != 0 || read(box->fd, &count, sizeof count) != sizeof count) return;
    // A copy, because what runs may remove the notifier.
    const auto run = box->notified;
    if (run) run();
  });
}

Notifier::~Notifier() {
  if (box_ == nullptr) return;
  box_->notified = {};
  // Stopped before the descriptor is closed, so that libuv never polls a number that is something else by then.
  uv_poll_stop(&box_->handle);
  uv_close(reinterpret_cast<uv_handle_t*>(&box_->handle), [](uv_handle_t* handle) {
    std::unique_ptr<Box> box(static_cast<Box*>(handle->data));
    box->instance->HandleClosed();
  });
}

void Notifier::Deassign(int vm) { Assign(vm, KVM_IOEVENTFD_FLAG_DEASSIGN, "removing a notifier"); }

void Notifier::Assign(int vm, uint32_t flags, const char* doing) {
  struct kvm_ioeventfd event = {};
  event.fd = event_.get();
  event.addr = address_.address;
  event.len = address_.length;
  event.flags = flags;
  if (address_.pio) event.flags |= KVM_IOEVENTFD_FLAG_PIO;
  if (address_.datamatch.has_value()) {
    event.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    event.datamatch = *address_.datamatch;
  }
  KVM_CALL(vm, KVM_IOEVENTFD, &event, doing);
}

Interrupt::Interrupt(int vm, uint32_t gsi) : gsi_(gsi), event_(MakeEvent()) {
  Assign(vm, 0, "connecting an interrupt line");
}

void Interrupt::Deassign(int vm) { Assign(vm, KVM_IRQFD_FLAG_DEASSIGN, "disconnecting an interrupt line"); }

void Interrupt::Assign(int vm, uint32_t flags, const char* doing) {
  struct kvm_irqfd irq = {};
  irq.fd = static_cast<uint32_t>(event_.get());
  irq.gsi = gsi_;
  irq.flags = flags;
  KVM_CALL(vm, KVM_IRQFD, &irq, doing);
}

void Interrupt::Raise() {
  const uint64_t one = 1;
  if (write(event_.get(), &one, sizeof one) != sizeof one) throw SystemFailure("write", errno, "raising an interrupt");
}

}  // namespace cryovm
