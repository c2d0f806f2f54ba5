#include "vm.h"

#include "failure.h"

namespace cryovm {
namespace {

const char* ReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kPaused:
      return "paused";
    case StopReason::kExit:
      return "exit";
    case StopReason::kError:
      return "error";
    case StopReason::kHandler:
      return "handler";
  }
  return "";
}

}  // namespace

Vm::Vm(Napi::Env env, const std::string& path, uint32_t vcpu_count)
    : env_(env),
      instance_(Instance::Of(env).shared_from_this()),
      machine_(std::make_unique<Machine>(path, vcpu_count)),
      watches_(vcpu_count) {}

void Vm::Start(Napi::Object wrapper, Napi::Function on_access, Napi::Function on_stop) {
  wrapper_ = Napi::Weak(wrapper);
  on_access_ = Napi::Weak(on_access);
  on_stop_ = Napi::Weak(on_stop);
  signal_ = std::make_unique<LoopSignal>(instance_, [this] { Signalled(); });
  LoopSignal* signal = signal_.get();
  machine_->StartThreads([signal] { signal->Send(); });
  instance_->Add(shared_from_this());
}

void Vm::Resume() {
  for (size_t i = 0; i < watches_.size(); i++) {
    CollectStops(i);
    Vcpu& vcpu = machine_->vcpu(i);
    if (vcpu.parked()) {
      vcpu.Start();
    } else if (watches_[i].pauses_to_report > 0) {
      // Asked to pause and not there yet: it parks, tells so, and then goes on.
      watches_[i].resume_when_parked = true;
    }
  }
  if (!events_.empty()) signal_->Send();
  HoldWrapper();
}

void Vm::Pause() {
  for (size_t i = 0; i < watches_.size(); i++) {
    watches_[i].pauses_to_report++;
    watches_[i].resume_when_parked = false;
    if (!machine_->vcpu(i).parked()) machine_->vcpu(i).AskPark();
  }
  signal_->Send();
  HoldWrapper();
}

void Vm::Signalled() {
  const auto self = shared_from_this();
  if (closing_) {
    if (machine_->released()) FinishClose();
    return;
  }
  Napi::HandleScope scope(env_);
  for (size_t i = 0; i < watches_.size() && !closing_; i++) {
    if (machine_->vcpu(i).waits()) ServeAccess(i);
  }
  if (!closing_) DeliverStops();
  HoldWrapper();
}

void Vm::ServeAccess(size_t index) {
  Napi::HandleScope scope(env_);
  Napi::Value thrown;
  const bool answered =
      instance_->Call(env_, on_access_.Value(), {Napi::Number::New(env_, static_cast<double>(index))}, &thrown);
  if (closing_) return;  // by the handler: the vCPU has been let go already
  // Told through onStop, once the vCPU is parked. A reference can be had to objects only.
  if (!answered && !thrown.IsEmpty()) {
    if (!thrown.IsObject()) thrown = Napi::Error::New(env_, thrown.ToString().Utf8Value()).Value();
    watches_[index].handler_error = Napi::Persistent(thrown.As<Napi::Object>());
  }
  machine_->vcpu(index).Answer(answered);
}

void Vm::CollectStops(size_t index) {
  Vcpu& vcpu = machine_->vcpu(index);
  Watch& watch = watches_[index];
  // Read first: if it is parked now, then what it parked for is there to be taken.
  const bool parked = vcpu.parked();
  Stop stop;
  if (vcpu.TakeStop(&stop)) {
    Event event{index, stop, {}};
    if (stop.reason == StopReason::kHandler) event.error = std::move(watch.handler_error);
    events_.push_back(std::move(event));
  }
  if (!parked) return;
  for (; watch.pauses_to_report > 0; watch.pauses_to_report--) {
    events_.push_back(Event{index, Stop{StopReason::kPaused, 0, 0}, {}});
  }
}

void Vm::DeliverStops() {
  for (size_t i = 0; i < watches_.size(); i++) CollectStops(i);
  while (!events_.empty() && !closing_) {
    Napi::HandleScope scope(env_);
    const Event event = std::move(events_.front());
    events_.pop_front();
    Napi::Object stop = Napi::Object::New(env_);
    stop.Set("vcpu", static_cast<double>(event.vcpu));
    stop.Set("reason", ReasonName(event.stop.reason));
    stop.Set("exitReason", event.stop.exit_reason);
    stop.Set("errno", event.stop.error);
    if (!event.error.IsEmpty()) stop.Set("cause", event.error.Value());
    instance_->Call(env_, on_stop_.Value(), {stop});
  }
  for (size_t i = 0; i < watches_.size() && !closing_; i++) {
    if (!watches_[i].resume_when_parked || !machine_->vcpu(i).parked()) continue;
    watches_[i].resume_when_parked = false;
    machine_->vcpu(i).Start();
  }
}

uint32_t Vm::AddNotifier(const NotifierAddress& address, Napi::Function callback) {
  const uint32_t id = next_id_++;
  auto reference = std::make_shared<Napi::FunctionReference>(Napi::Weak(callback));
  auto notifier = std::make_unique<Notifier>(machine_->fd(), address, instance_, [this, reference] {
    const auto self = shared_from_this();
    Napi::HandleScope scope(env_);
    const Napi::Function function = reference->Value();
    if (!function.IsEmpty()) instance_->Call(env_, function, {});
  });
  notifiers_.emplace(id, NotifierEntry{std::move(notifier), std::move(reference)});
  return id;
}

void Vm::RemoveNotifier(uint32_t id) {
  const auto found = notifiers_.find(id);
  if (found == notifiers_.end()) throw Refusal("removeNotifier", "there is no notifier " + std::to_string(id));
  found->second.notifier->Deassign(machine_->fd());
  notifiers_.erase(found);
}

uint32_t Vm::AddInterrupt(uint32_t gsi) {
  const uint32_t id = next_id_++;
  interrupts_.emplace(id, Interrupt(machine_->fd(), gsi));
  return id;
}

void Vm::RemoveInterrupt(uint32_t id) {
  interrupt(id).Deassign(machine_->fd());
  interrupts_.erase(id);
}

Interrupt& Vm::interrupt(uint32_t id) {
  const auto found = interrupts_.find(id);
  if (found == interrupts_.end()) throw Refusal("interrupt", "there is no interrupt " + std::to_string(id));
  return found->second;
}

Napi::Promise Vm::Close() {
  closed_.emplace(Napi::Promise::Deferred::New(env_));
  const Napi::Promise promise = closed_->Promise();
  buffers_->DetachAll(env_);
  BeginClose();
  HoldWrapper();
  return promise;
}

void Vm::Abandon() {
  if (closing_) return;
  BeginClose();
}

void Vm::BeginClose() {
  closing_ = true;
  notifiers_.clear();
  interrupts_.clear();
  machine_->AskLeave();
}

// Every thread has left and the last one has released the kernel objects: nothing here takes long.
void Vm::FinishClose() {
  machine_->Join();
  machine_.reset();
  const auto self = shared_from_this();
  signal_->Close([self] {
    // The environment may have ended in between.
    if (self->instance_->ending()) return;
    Napi::HandleScope scope(self->env_);
    if (self->closed_.has_value()) {
      self->instance_->InScope(self->env_, [&] { self->closed_->Resolve(self->env_.Undefined()); });
    }
    self->Forget();
    self->instance_->Remove(self);
  });
}

void Vm::StopNow() {
  if (!closing_) BeginClose();
  if (machine_ != nullptr) machine_->Join();
  machine_.reset();
  signal_->Close({});
  Forget();
}

// References into JavaScript have to go before the environment does.
void Vm::Forget() {
  events_.clear();
  watches_.clear();
  on_access_.Reset();
  on_stop_.Reset();
  wrapper_.Reset();
}

void Vm::HoldWrapper() {
  bool hold = true;
  if (!closing_) {
    hold = !events_.empty() || !machine_->all_parked();
    for (const Watch& watch : watches_) hold = hold || watch.pauses_to_report > 0 || watch.resume_when_parked;
  }
  if (hold == held_ || wrapper_.IsEmpty()) return;
  held_ = hold;
  if (hold) {
    wrapper_.Ref();
  } else {
    wrapper_.Unref();
  }
}

}  // namespace cryovm
