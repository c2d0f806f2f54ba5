
#include "counters.h"
#include "instance.h"
#include "loop_signal.h"
#include "memory.h"
#include "thread.h"

namespace cryovm {

// A dump under way: its thread, and the promise that its end settles.
class DumpJob : public Stoppable, public std::enable_shared_from_this<DumpJob> {
 public:
  DumpJob(Napi::Env env, std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset)
      : env_(env),
        instance_(Instance::Of(env).shared_from_this()),
        deferred_(Napi::Promise::Deferred::New(env)),
        size_(mapping->size()),
        dump_(std::move(mapping), std::move(fd), file_offset) {}

  void Start() {
    signal_ = std::make_unique<LoopSignal>(instance_, [this] { Ended(); });
    thread_ = StartThread("cryovm dump", [this] {
      dump_.Run();
      signal_->Send();
    });
    instance_->Add(shared_from_this());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }
  Dump& dump() { return dump_; }

  void StopNow() override {
    dump_.Abort();
    JoinThread(thread_);
    signal_->Close({});
  }

 private:
  void Ended() {
    JoinThread(thread_);
    signal_->Close({});
    const auto self = shared_from_this();
    instance_->Remove(self);
    Napi::HandleScope scope(env_);
    instance_->InScope(env_, [&] {
      if (dump_.failure().has_value()) {
        deferred_.Reject(ToJavaScript(env_, *dump_.failure()).Value());
        return;
      }
      Napi::Object result = Napi::Object::New(env_);
      result.Set("writtenBytes", static_cast<double>(dump_.written()));
      result.Set("skippedBytes", static_cast<double>(size_ - dump_.written()));
      deferred_.Resolve(result);
    });
  }

  Napi::Env env_;
  std::shared_ptr<Instance> instance_;
  Napi::Promise::Deferred deferred_;
  uint64_t size_;
  Dump dump_;
  std::unique_ptr<LoopSignal> signal_;
  std::thread thread_;
};

Napi::Function DumpObject::Define(Napi::Env env) {
  return DefineClass(env, "NativeDump",
                     {
                         InstanceAccessor<&DumpObject::ScannedBytes>("scannedBytes", napi_enumerable),
                         InstanceMethod<&DumpObject::Abort>("abort"),
                     });
}

Napi::Value DumpObject::Create(Napi::Env env, std::shared_ptr<Mapping> mapping, Fd fd, uint64_t file_offset) {
  auto job = std::make_shared<DumpJob>(env, std::move(mapping), std::move(fd), file_offset);
  job->Start();
  return Instance::Of(env).dump_constructor.New({Napi::External<std::shared_ptr<DumpJob>>::New(env, &job)});
}

DumpObject::DumpObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  Guarded(env, [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) throw Refusal("NativeDump", "made by dump only");
    job_ = *info[0].As<Napi::External<std::shared_ptr<DumpJob>>>().Data();
    info.This().As<Napi::Object>().DefineProperty(
        Napi::PropertyDescriptor::Value("done", job_->promise(), napi_enumerable));
  });
}

Napi::Value DumpObject::ScannedBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(job_->dump().scanned()));
}

Napi::Value DumpObject::Abort(const Napi::CallbackInfo& info) {
  job_->dump().Abort();
  return info.Env().Undefined();
}

}  // namespace cryovm
