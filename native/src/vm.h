// A virtual machine as one JavaScript environment sees it: delivers accesses and stops, and closes everything.
// Lives on the JavaScript thread, and longer than its wrapper where that is collected without having been closed.
#pragma once

#include <napi.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "buffers.h"
#include "event_fds.h"
#include "instance.h"
#include "loop_signal.h"
#include "machine.h"

namespace cryovm {

class Vm : public Stoppable, public std::enable_shared_from_this<Vm> {
 public:
  Vm(Napi::Env env, const std::string& path, uint32_t vcpu_count);
  // Starts the threads. `wrapper` is referenced weakly, and strongly while anything can still call back; it keeps
  // the callbacks, which this only references weakly, so that a parked one nobody knows any more can be collected.
  void Start(Napi::Object wrapper, Napi::Function on_access, Napi::Function on_stop);

  Machine& machine() { return *machine_; }
  const std::shared_ptr<BufferTable>& buffers() const { return buffers_; }
  bool closing() const { return closing_; }

  void Resume();
  void Pause();
  uint32_t AddNotifier(const NotifierAddress& address, Napi::Function callback);
  void RemoveNotifier(uint32_t id);
  uint32_t AddInterrupt(uint32_t gsi);
  void RemoveInterrupt(uint32_t id);
  Interrupt& interrupt(uint32_t id);

  // Once only.
  Napi::Promise Close();
  // Closes without anyone waiting for it: the wrapper was collected.
  void Abandon();
  void StopNow() override;

 private:
  struct Watch {  // what the JavaScript thread knows of a vCPU beyond what the vCPU itself says
    uint32_t pauses_to_report = 0;
    bool resume_when_parked = false;
    Napi::ObjectReference handler_error;
  };
  struct Event {
    size_t vcpu;
    Stop stop;
    Napi::ObjectReference error;
  };

  void Signalled();
  void ServeAccess(size_t index);
  void CollectStops(size_t index);
  void DeliverStops();
  void BeginClose();
  void FinishClose();
  void Forget();
  // Strong while something may still happen of itself.
  void HoldWrapper();

  Napi::Env env_;
  std::shared_ptr<Instance> instance_;
  std::unique_ptr<Machine> machine_;
  std::shared_ptr<BufferTable> buffers_ = std::make_shared<BufferTable>();
  std::unique_ptr<LoopSignal> signal_;
  std::vector<Watch> watches_;
  std::deque<Event> events_;
  Napi::ObjectReference wrapper_;
  bool held_ = false;
  Napi::FunctionReference on_access_;
  Napi::FunctionReference on_stop_;

  struct NotifierEntry {
    std::unique_ptr<Notifier> notifier;
    std::shared_ptr<Napi::FunctionReference> callback;
  };
  std::map<uint32_t, NotifierEntry> notifiers_;
  std::map<uint32_t, Interrupt> interrupts_;
  uint32_t next_id_ = 1;

  bool closing_ = false;
  std::optional<Napi::Promise::Deferred> closed_;
};

}  // namespace cryovm
