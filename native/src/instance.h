// What belongs to one JavaScript environment (the main thread, or a worker): constructors, and everything that must
// be stopped before the environment goes.
#pragma once

#include <napi.h>
#include <uv.h>

#include <functional>
#include <memory>
#include <unordered_set>

namespace cryovm {

// Something with threads or libuv handles of its own.
class Stoppable {
 public:
  virtual ~Stoppable() = default;
  // The environment ends: stop and join threads, begin to close libuv handles, drop references. No JavaScript runs.
  virtual void StopNow() = 0;
};

class Instance : public std::enable_shared_from_this<Instance> {
 public:
  static std::shared_ptr<Instance> Start(Napi::Env env);
  static Instance& Of(Napi::Env env);

  uv_loop_t* loop() const { return loop_; }
  bool ending() const { return ending_; }

  void Add(std::shared_ptr<Stoppable> running) { running_.insert(std::move(running)); }
  void Remove(const std::shared_ptr<Stoppable>& running) { running_.erase(running); }

  // libuv handles of ours; the environment may only end when the last is closed.
  void HandleOpened() { open_handles_++; }
  void HandleClosed();

  // Calls back into JavaScript from a libuv callback, with microtasks run afterwards. Empty when `callback` threw:
  // the exception is then in `thrown`.
  bool Call(Napi::Env env, Napi::Function callback, std::initializer_list<napi_value> arguments,
            Napi::Value* thrown = nullptr);
  // Runs `body` with microtasks run afterwards, for settling promises from a libuv callback.
  void InScope(Napi::Env env, const std::function<void()>& body);

  Napi::FunctionReference memory_constructor;
  Napi::FunctionReference job_constructor;
  Napi::FunctionReference vm_constructor;

 private:
  void End(napi_async_cleanup_hook_handle hook);

  uv_loop_t* loop_ = nullptr;
  std::unordered_set<std::shared_ptr<Stoppable>> running_;
  std::unique_ptr<Napi::AsyncContext> async_context_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  int open_handles_ = 0;
  bool ending_ = false;
};

}  // namespace cryovm
