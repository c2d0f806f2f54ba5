#include "instance.h"

#include <vector>

namespace cryovm {
namespace {

// The environment owns this; libuv handles that outlive it for a moment hold the instance themselves.
struct Holder {
  std::shared_ptr<Instance> instance;
};

}  // namespace

std::shared_ptr<Instance> Instance::Start(Napi::Env env) {
  auto instance = std::make_shared<Instance>();
  napi_get_uv_event_loop(env, &instance->loop_);
  instance->async_context_ = std::make_unique<Napi::AsyncContext>(env, "cryovm");
  // Asynchronous, because libuv handles take a turn of the loop to close, and a worker's loop must be empty at its end.
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle hook, void* data) {
        static_cast<Instance*>(data)->shared_from_this()->End(hook);
      },
      instance.get(), nullptr);
  env.SetInstanceData(new Holder{instance});
  return instance;
}

Instance& Instance::Of(Napi::Env env) { return *env.GetInstanceData<Holder>()->instance; }

void Instance::HandleClosed() {
  open_handles_--;
  if (open_handles_ == 0 && hook_ != nullptr) {
    napi_remove_async_cleanup_hook(hook_);
    hook_ = nullptr;
  }
}

bool Instance::Call(Napi::Env env, Napi::Function callback, std::initializer_list<napi_value> arguments,
                    Napi::Value* thrown) {
  napi_value result;
  const napi_status status = napi_make_callback(env, *async_context_, env.Global(), callback, arguments.size(),
                                                arguments.begin(), &result);
  if (status == napi_ok) return true;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) return false;  // the environment is being terminated
  napi_value error;
  napi_get_and_clear_last_exception(env, &error);
  if (thrown != nullptr) {
    *thrown = Napi::Value(env, error);
  } else {
    napi_fatal_exception(env, error);  // becomes an uncaughtException, as from any other callback
  }
  return false;
}

void Instance::InScope(Napi::Env env, const std::function<void()>& body) {
  Napi::CallbackScope scope(env, *async_context_);
  body();
}

void Instance::End(napi_async_cleanup_hook_handle hook) {
  ending_ = true;
  hook_ = hook;
  HandleOpened();  // so that no close below is the last one before all are begun
  std::vector<std::shared_ptr<Stoppable>> all(running_.begin(), running_.end());
  running_.clear();
  for (const auto& each : all) each->StopNow();
  async_context_.reset();
  memory_constructor.Reset();
  job_constructor.Reset();
  vm_constructor.Reset();
  HandleClosed();
}

}  // namespace cryovm
