#include "job.h"

#include <thread>

#include "instance.h"
#include "loop_signal.h"
#include "thread.h"

namespace cryovm {

// Work under way: its thread, and the promise that its end settles.
class Job : public Stoppable, public std::enable_shared_from_this<Job> {
 public:
  using Result = std::function<Napi::Value(Napi::Env)>;

  Job(Napi::Env env, std::shared_ptr<Work> work, Result result)
      : env_(env),
        instance_(Instance::Of(env).shared_from_this()),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)) {}

  void Start(const char* thread_name) {
    signal_ = std::make_unique<LoopSignal>(instance_, [this] { Ended(); });
    thread_ = StartThread(thread_name, [this] {
      work_->Run();
      signal_->Send();
    });
    instance_->Add(shared_from_this());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }
  Work& work() { return *work_; }

  void StopNow() override {
    work_->Abort();
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
      if (work_->failure().has_value()) {
        deferred_.Reject(ToJavaScript(env_, *work_->failure()).Value());
        return;
      }
      try {
        deferred_.Resolve(result_(env_));
      } catch (const Napi::Error& error) {
        deferred_.Reject(error.Value());
      }
    });
  }

  Napi::Env env_;
  std::shared_ptr<Instance> instance_;
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Work> work_;
  Result result_;
  std::unique_ptr<LoopSignal> signal_;
  std::thread thread_;
};

Napi::Function JobObject::Define(Napi::Env env) {
  return DefineClass(env, "NativeJob",
                     {
                         InstanceAccessor<&JobObject::ScannedBytes>("scannedBytes", napi_enumerable),
                         InstanceMethod<&JobObject::Abort>("abort"),
                     });
}

Napi::Value JobObject::Start(Napi::Env env, const char* thread_name, std::shared_ptr<Work> work,
                             std::function<Napi::Value(Napi::Env)> result) {
  auto job = std::make_shared<Job>(env, std::move(work), std::move(result));
  job->Start(thread_name);
  return Instance::Of(env).job_constructor.New({Napi::External<std::shared_ptr<Job>>::New(env, &job)});
}

JobObject::JobObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  Guarded(env, [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) throw Refusal("NativeJob", "made by what starts the work only");
    job_ = *info[0].As<Napi::External<std::shared_ptr<Job>>>().Data();
    info.This().As<Napi::Object>().DefineProperty(
        Napi::PropertyDescriptor::Value("done", job_->promise(), napi_enumerable));
  });
}

Napi::Value JobObject::ScannedBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(job_->work().scanned()));
}

Napi::Value JobObject::Abort(const Napi::CallbackInfo& info) {
  job_->work().Abort();
  return info.Env().Undefined();
}

}  // namespace cryovm
