// NativeVm: arguments in, results out.
#pragma once

#include <napi.h>

#include <memory>

#include "vm.h"

namespace cryovm {

class VmObject : public Napi::ObjectWrap<VmObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  // createVm(path, options)
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit VmObject(const Napi::CallbackInfo& info);
  ~VmObject() override;

 private:
  template <Napi::Value (VmObject::*kMethod)(const Napi::CallbackInfo&)>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&] { return (this->*kMethod)(info); });
  }

  // The open machine; refuses when it is closed.
  Machine& Open(const char* operation) const;
  // As Open, and refuses with EBUSY while a vCPU is not parked.
  Machine& Parked(const char* operation) const;
  Vcpu& ParkedVcpu(const char* operation, Napi::Value index) const;
  // Has the wrapper keep a callback, under the id of what calls it.
  void Keep(Napi::Object self, uint32_t id, Napi::Value callback);

  Napi::Value SetMemoryRegion(const Napi::CallbackInfo& info);
  Napi::Value GetDirtyLog(const Napi::CallbackInfo& info);
  Napi::Value ClearDirtyLog(const Napi::CallbackInfo& info);
  Napi::Value Resume(const Napi::CallbackInfo& info);
  Napi::Value Pause(const Napi::CallbackInfo& info);
  Napi::Value GetVcpu(const Napi::CallbackInfo& info);
  Napi::Value SetVcpu(const Napi::CallbackInfo& info);
  Napi::Value GetMsrs(const Napi::CallbackInfo& info);
  Napi::Value SetMsrs(const Napi::CallbackInfo& info);
  Napi::Value GetTscKhz(const Napi::CallbackInfo& info);
  Napi::Value SetTscKhz(const Napi::CallbackInfo& info);
  Napi::Value KvmclockCtrl(const Napi::CallbackInfo& info);
  Napi::Value Nmi(const Napi::CallbackInfo& info);
  Napi::Value GetVm(const Napi::CallbackInfo& info);
  Napi::Value SetVm(const Napi::CallbackInfo& info);
  Napi::Value AddNotifier(const Napi::CallbackInfo& info);
  Napi::Value RemoveNotifier(const Napi::CallbackInfo& info);
  Napi::Value AddInterrupt(const Napi::CallbackInfo& info);
  Napi::Value RemoveInterrupt(const Napi::CallbackInfo& info);
  Napi::Value RaiseInterrupt(const Napi::CallbackInfo& info);
  Napi::Value AddStatusCell(const Napi::CallbackInfo& info);
  Napi::Value RemoveStatusCell(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Vm> vm_;
};

}  // namespace cryovm
