#include "vm_object.h"

#include <cstring>

#include "arguments.h"
#include "dirty_log.h"
#include "failure.h"
#include "kvm.h"
#include "memory.h"
#include "msrs.h"
#include "structures.h"

namespace cryovm {
namespace {

// Own property of the wrapper, not enumerable: what has to live as long as it does.
constexpr const char* kKept = "#kept";
constexpr uint32_t kOnAccess = 0xfffffff0, kOnStop = 0xfffffff1;
constexpr const char* kClosed = "closed";

Napi::Function ToFunction(Napi::Value value, const char* operation, const char* name) {
  if (!value.IsFunction()) throw Refusal(operation, std::string(name) + " must be a function");
  return value.As<Napi::Function>();
}

}  // namespace

Napi::Function VmObject::Define(Napi::Env env) {
#define METHOD(name, method) InstanceMethod<&VmObject::Call<&VmObject::method>>(name)
  return DefineClass(env, "NativeVm",
                     {
                         METHOD("setMemoryRegion", SetMemoryRegion),
                         METHOD("getDirtyLog", GetDirtyLog),
                         METHOD("clearDirtyLog", ClearDirtyLog),
                         METHOD("resume", Resume),
                         METHOD("pause", Pause),
                         METHOD("getVcpu", GetVcpu),
                         METHOD("setVcpu", SetVcpu),
                         METHOD("getMsrs", GetMsrs),
                         METHOD("setMsrs", SetMsrs),
                         METHOD("getTscKhz", GetTscKhz),
                         METHOD("setTscKhz", SetTscKhz),
                         METHOD("kvmclockCtrl", KvmclockCtrl),
                         METHOD("nmi", Nmi),
                         METHOD("getVm", GetVm),
                         METHOD("setVm", SetVm),
                         METHOD("addNotifier", AddNotifier),
                         METHOD("removeNotifier", RemoveNotifier),
                         METHOD("addInterrupt", AddInterrupt),
                         METHOD("removeInterrupt", RemoveInterrupt),
                         METHOD("raiseInterrupt", RaiseInterrupt),
                         METHOD("addStatusCell", AddStatusCell),
                         METHOD("removeStatusCell", RemoveStatusCell),
                         METHOD("close", Close),
                     });
#undef METHOD
}

Napi::Value VmObject::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const std::string path = ToText(info[0], "createVm", "path");
    const Napi::Object options = ToObject(info[1], "createVm", "options");
    const auto count = static_cast<uint32_t>(ToUnsigned(options.Get("vcpuCount"), "createVm", "vcpuCount", 4096));
    if (count == 0) throw Refusal("createVm", "vcpuCount must be at least 1");
    const Napi::Function on_access = ToFunction(options.Get("onAccess"), "createVm", "onAccess");
    const Napi::Function on_stop = ToFunction(options.Get("onStop"), "createVm", "onStop");
    auto vm = std::make_shared<Vm>(env, path, count);
    return Instance::Of(env).vm_constructor.New(
        {Napi::External<std::shared_ptr<Vm>>::New(env, &vm), on_access, on_stop});
  });
}

VmObject::VmObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  Guarded(env, [&] {
    if (info.Length() != 3 || !info[0].IsExternal()) throw Refusal("NativeVm", "made by createVm only");
    auto vm = *info[0].As<Napi::External<std::shared_ptr<Vm>>>().Data();
    Machine& machine = vm->machine();
    Napi::Object self = info.This().As<Napi::Object>();
    Napi::Array run = Napi::Array::New(env, machine.vcpu_count());
    for (size_t i = 0; i < machine.vcpu_count(); i++) {
      const std::shared_ptr<RunPage>& page = machine.vcpu(i).page();
      run.Set(static_cast<uint32_t>(i), vm->buffers()->Make(env, page->run(), page->size(), page));
    }
    const std::shared_ptr<StatusCells>& cells = machine.cells();
    self.DefineProperties({
        Napi::PropertyDescriptor::Value(
            "vcpuCount", Napi::Number::New(env, static_cast<double>(machine.vcpu_count())), napi_enumerable),
        Napi::PropertyDescriptor::Value("hasManualDirtyLog", Napi::Boolean::New(env, machine.has_manual_dirty_log()),
                                        napi_enumerable),
        Napi::PropertyDescriptor::Value("run", run, napi_enumerable),
        Napi::PropertyDescriptor::Value("statusCells",
                                        vm->buffers()->Make(env, cells->words(), cells->size(), cells),
                                        napi_enumerable),
        Napi::PropertyDescriptor::Value(kKept, Napi::Object::New(env), napi_default),
    });
    Keep(self, kOnAccess, info[1]);
    Keep(self, kOnStop, info[2]);
    vm->Start(self, info[1].As<Napi::Function>(), info[2].As<Napi::Function>());
    vm_ = std::move(vm);
  });
}

VmObject::~VmObject() {
  if (vm_ != nullptr) vm_->Abandon();
}

Machine& VmObject::Open(const char* operation) const {
  if (vm_->closing()) throw Refusal(operation, "this virtual machine is closed");
  return vm_->machine();
}

Machine& VmObject::Parked(const char* operation) const {
  Machine& machine = Open(operation);
  for (size_t i = 0; i < machine.vcpu_count(); i++) {
    if (machine.vcpu(i).parked()) continue;
    throw Failure{operation, EBUSY,
                  std::string(operation) + " needs every vCPU parked, and vCPU " + std::to_string(i) +
                      " is running (EBUSY): pause first, and wait for onStop"};
  }
  return machine;
}

Vcpu& VmObject::ParkedVcpu(const char* operation, Napi::Value index) const {
  Machine& machine = Parked(operation);
  return machine.vcpu(ToUnsigned(index, operation, "vcpu", machine.vcpu_count() - 1));
}

void VmObject::Keep(Napi::Object self, uint32_t id, Napi::Value callback) {
  self.Get(kKept).As<Napi::Object>().Set(id, callback);
}

Napi::Value VmObject::SetMemoryRegion(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_SET_USER_MEMORY_REGION";
  Machine& machine = Open(kOperation);
  const Napi::Object region = ToObject(info[0], kOperation, "region");
  const auto slot = static_cast<uint32_t>(ToUnsigned(region.Get("slot"), kOperation, "slot", UINT16_MAX));
  const uint64_t address = ToUnsigned(region.Get("guestAddress"), kOperation, "guestAddress");
  const uint64_t size = ToUnsigned(region.Get("size"), kOperation, "size");
  auto mapping = MemoryObject::MappingOf(region.Get("memory"), kOperation);
  const uint64_t offset = ToUnsigned(region.Get("offset"), kOperation, "offset", mapping->size());
  // The kernel would take any address of this process.
  if (size > mapping->size() - offset) {
    throw Refusal(kOperation, std::to_string(size) + " bytes from offset " + std::to_string(offset) +
                                  " are more than the memory of " + std::to_string(mapping->size()) + " bytes has");
  }
  uint32_t flags = 0;
  if (region.Get("logDirtyPages").ToBoolean()) flags |= KVM_MEM_LOG_DIRTY_PAGES;
  if (region.Get("readOnly").ToBoolean()) flags |= KVM_MEM_READONLY;
  machine.SetRegion(slot, flags, address, std::move(mapping), offset, size);
  return info.Env().Undefined();
}

Napi::Value VmObject::GetDirtyLog(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_GET_DIRTY_LOG";
  Machine& machine = Open(kOperation);
  const auto slot = static_cast<uint32_t>(ToUnsigned(info[0], kOperation, "slot", UINT16_MAX));
  const uint64_t pages = machine.SlotSize(slot, kOperation) / kPageSize;
  Napi::Uint8Array bitmap = Napi::Uint8Array::New(info.Env(), DirtyLogSize(pages));
  cryovm::GetDirtyLog(machine.fd(), slot, bitmap.Data());
  return bitmap;
}

Napi::Value VmObject::ClearDirtyLog(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_CLEAR_DIRTY_LOG";
  Machine& machine = Open(kOperation);
  const auto slot = static_cast<uint32_t>(ToUnsigned(info[0], kOperation, "slot", UINT16_MAX));
  const uint64_t pages = machine.SlotSize(slot, kOperation) / kPageSize;
  const Bytes bitmap = ToBytes(info[1], kOperation, "bitmap");
  if (bitmap.size != DirtyLogSize(pages)) {
    throw Refusal(kOperation, "bitmap must have " + std::to_string(DirtyLogSize(pages)) + " bytes for slot " +
                                  std::to_string(slot) + ", not " + std::to_string(bitmap.size));
  }
  if (machine.has_manual_dirty_log()) cryovm::ClearDirtyLog(machine.fd(), slot, pages, bitmap.data);
  return info.Env().Undefined();
}

Napi::Value VmObject::Resume(const Napi::CallbackInfo& info) {
  Open("resume");
  vm_->Resume();
  return info.Env().Undefined();
}

Napi::Value VmObject::Pause(const Napi::CallbackInfo& info) {
  Open("pause");
  vm_->Pause();
  return info.Env().Undefined();
}

Napi::Value VmObject::GetVcpu(const Napi::CallbackInfo& info) {
  const std::string name = ToText(info[1], "getVcpu", "structure");
  const Vcpu& vcpu = ParkedVcpu(VcpuOperation(name, false), info[0]);
  const std::vector<uint8_t> bytes = GetVcpuStructure(vm_->machine().fd(), vcpu.fd(), name);
  return FromBytes(info.Env(), bytes.data(), bytes.size());
}

Napi::Value VmObject::SetVcpu(const Napi::CallbackInfo& info) {
  const std::string name = ToText(info[1], "setVcpu", "structure");
  const Vcpu& vcpu = ParkedVcpu(VcpuOperation(name, true), info[0]);
  SetVcpuStructure(vm_->machine().fd(), vcpu.fd(), name, ToBytes(info[2], VcpuOperation(name, true), "bytes"));
  return info.Env().Undefined();
}

Napi::Value VmObject::GetMsrs(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_GET_MSRS";
  const Napi::Env env = info.Env();
  const Vcpu& vcpu = ParkedVcpu(kOperation, info[0]);
  if (!info[1].IsArray()) throw Refusal(kOperation, "indices must be an array");
  const Napi::Array list = info[1].As<Napi::Array>();
  std::vector<uint32_t> indices(list.Length());
  for (uint32_t i = 0; i < indices.size(); i++) {
    indices[i] = static_cast<uint32_t>(ToUnsigned(list.Get(i), kOperation, "an index", UINT32_MAX));
  }
  std::vector<uint32_t> refused;
  const auto entries = cryovm::GetMsrs(vcpu.fd(), indices, &refused);
  Napi::Array refused_list = Napi::Array::New(env, refused.size());
  for (uint32_t i = 0; i < refused.size(); i++) refused_list.Set(i, refused[i]);
  Napi::Object result = Napi::Object::New(env);
  result.Set("entries", FromBytes(env, entries.data(), entries.size() * sizeof(struct kvm_msr_entry)));
  result.Set("refused", refused_list);
  return result;
}

Napi::Value VmObject::SetMsrs(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_SET_MSRS";
  const Vcpu& vcpu = ParkedVcpu(kOperation, info[0]);
  const Bytes bytes = ToBytes(info[1], kOperation, "entries");
  if (bytes.size % sizeof(struct kvm_msr_entry) != 0) {
    throw Refusal(kOperation, "entries have 16 bytes each; " + std::to_string(bytes.size) + " is no multiple of it");
  }
  std::vector<struct kvm_msr_entry> entries(bytes.size / sizeof(struct kvm_msr_entry));
  if (!entries.empty()) std::memcpy(entries.data(), bytes.data, bytes.size);
  const std::vector<uint32_t> refused = cryovm::SetMsrs(vcpu.fd(), entries);
  Napi::Array list = Napi::Array::New(info.Env(), refused.size());
  for (uint32_t i = 0; i < refused.size(); i++) list.Set(i, refused[i]);
  return list;
}

Napi::Value VmObject::GetTscKhz(const Napi::CallbackInfo& info) {
  const int khz = ioctl(ParkedVcpu("KVM_GET_TSC_KHZ", info[0]).fd(), KVM_GET_TSC_KHZ, 0);
  return Napi::Number::New(info.Env(), khz < 0 ? 0 : khz);
}

Napi::Value VmObject::SetTscKhz(const Napi::CallbackInfo& info) {
  const Vcpu& vcpu = ParkedVcpu("KVM_SET_TSC_KHZ", info[0]);
  const uint64_t khz = ToUnsigned(info[1], "KVM_SET_TSC_KHZ", "khz", UINT32_MAX);
  KVM_CALL(vcpu.fd(), KVM_SET_TSC_KHZ, khz, "setting the frequency of the guest's time stamp counter");
  return info.Env().Undefined();
}

Napi::Value VmObject::KvmclockCtrl(const Napi::CallbackInfo& info) {
  const Vcpu& vcpu = ParkedVcpu("KVM_KVMCLOCK_CTRL", info[0]);
  if (ioctl(vcpu.fd(), KVM_KVMCLOCK_CTRL, 0) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EINVAL) return Napi::Boolean::New(info.Env(), false);  // the guest has no kvmclock
  throw SystemFailure("KVM_KVMCLOCK_CTRL", errno, "telling the guest that it was stopped");
}

Napi::Value VmObject::Nmi(const Napi::CallbackInfo& info) {
  KVM_CALL(ParkedVcpu("KVM_NMI", info[0]).fd(), KVM_NMI, 0, "injecting a non-maskable interrupt");
  return info.Env().Undefined();
}

Napi::Value VmObject::GetVm(const Napi::CallbackInfo& info) {
  const std::string name = ToText(info[0], "getVm", "structure");
  const std::vector<uint8_t> bytes = GetVmStructure(Parked(VmOperation(name, false)).fd(), name);
  return FromBytes(info.Env(), bytes.data(), bytes.size());
}

Napi::Value VmObject::SetVm(const Napi::CallbackInfo& info) {
  const std::string name = ToText(info[0], "setVm", "structure");
  const char* operation = VmOperation(name, true);
  SetVmStructure(Parked(operation).fd(), name, ToBytes(info[1], operation, "bytes"));
  return info.Env().Undefined();
}

Napi::Value VmObject::AddNotifier(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "KVM_IOEVENTFD";
  Open(kOperation);
  const Napi::Object options = ToObject(info[0], kOperation, "options");
  const Napi::Function callback = ToFunction(info[1], kOperation, "callback");
  NotifierAddress address = {};
  const std::string space = ToText(options.Get("space"), kOperation, "space");
  if (space != "mmio" && space != "pio") throw Refusal(kOperation, "space must be \"mmio\" or \"pio\"");
  address.pio = space == "pio";
  address.address = ToUnsigned(options.Get("address"), kOperation, "address");
  address.length = static_cast<uint32_t>(ToUnsigned(options.Get("length"), kOperation, "length", 8));
  const Napi::Value datamatch = options.Get("datamatch");
  if (!datamatch.IsUndefined()) address.datamatch = ToUnsigned(datamatch, kOperation, "datamatch");
  const uint32_t id = vm_->AddNotifier(address, callback);
  Keep(info.This().As<Napi::Object>(), id, callback);
  return Napi::Number::New(info.Env(), id);
}

Napi::Value VmObject::RemoveNotifier(const Napi::CallbackInfo& info) {
  Open("KVM_IOEVENTFD");
  const auto id = static_cast<uint32_t>(ToUnsigned(info[0], "removeNotifier", "id", UINT32_MAX));
  vm_->RemoveNotifier(id);
  Keep(info.This().As<Napi::Object>(), id, info.Env().Undefined());
  return info.Env().Undefined();
}

Napi::Value VmObject::AddInterrupt(const Napi::CallbackInfo& info) {
  Open("KVM_IRQFD");
  const auto gsi = static_cast<uint32_t>(ToUnsigned(info[0], "KVM_IRQFD", "gsi", UINT32_MAX));
  return Napi::Number::New(info.Env(), vm_->AddInterrupt(gsi));
}

Napi::Value VmObject::RemoveInterrupt(const Napi::CallbackInfo& info) {
  Open("KVM_IRQFD");
  vm_->RemoveInterrupt(static_cast<uint32_t>(ToUnsigned(info[0], "removeInterrupt", "id", UINT32_MAX)));
  return info.Env().Undefined();
}

Napi::Value VmObject::RaiseInterrupt(const Napi::CallbackInfo& info) {
  Open("raiseInterrupt");
  vm_->interrupt(static_cast<uint32_t>(ToUnsigned(info[0], "raiseInterrupt", "id", UINT32_MAX))).Raise();
  return info.Env().Undefined();
}

Napi::Value VmObject::AddStatusCell(const Napi::CallbackInfo& info) {
  constexpr const char* kOperation = "addStatusCell";
  Machine& machine = Open(kOperation);
  const auto cell = static_cast<uint32_t>(ToUnsigned(info[0], kOperation, "cell", StatusCells::kCount - 1));
  const uint64_t read = ToUnsigned(info[1], kOperation, "readAddress");
  const uint64_t acknowledge = ToUnsigned(info[2], kOperation, "ackAddress");
  if (machine.cells()->used(cell)) throw Refusal(kOperation, "cell " + std::to_string(cell) + " is in use");
  machine.cells()->Add(cell, read, acknowledge);
  return info.Env().Undefined();
}

Napi::Value VmObject::RemoveStatusCell(const Napi::CallbackInfo& info) {
  Machine& machine = Open("removeStatusCell");
  machine.cells()->Remove(
      static_cast<uint32_t>(ToUnsigned(info[0], "removeStatusCell", "cell", StatusCells::kCount - 1)));
  return info.Env().Undefined();
}

Napi::Value VmObject::Close(const Napi::CallbackInfo& info) {
  Napi::Object kept = info.This().As<Napi::Object>().Get(kKept).As<Napi::Object>();
  if (!vm_->closing()) kept.Set(kClosed, vm_->Close());
  return kept.Get(kClosed);
}

}  // namespace cryovm
