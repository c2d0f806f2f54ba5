// NativeJob: the JavaScript side of work on a thread of its own.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "work.h"

namespace cryovm {

class Job;

class JobObject : public Napi::ObjectWrap<JobObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  // Starts `work` on a thread called `thread_name`. When it has ended well, `result` makes of it what `done` resolves
  // to.
  static Napi::Value Start(Napi::Env env, const char* thread_name, std::shared_ptr<Work> work,
                           std::function<Napi::Value(Napi::Env)> result);

  explicit JobObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value ScannedBytes(const Napi::CallbackInfo& info);
  Napi::Value Abort(const Napi::CallbackInfo& info);

  std::shared_ptr<Job> job_;
};

}  // namespace cryovm
