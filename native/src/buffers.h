// Array buffers over memory that is not V8's. Every one handed out is remembered, so that it can be detached before
// the memory goes: a view that outlives its memory is then empty instead of a way to crash.
#pragma once

#include <napi.h>

#include <list>
#include <memory>

namespace cryovm {

class BufferTable : public std::enable_shared_from_this<BufferTable> {
 public:
  // `keep` stays alive until the buffer is collected or detached, so that memory whose owner was dropped without
  // being closed is not unmapped under a buffer still in use.
  Napi::ArrayBuffer Make(Napi::Env env, void* data, size_t size, std::shared_ptr<void> keep);
  void DetachAll(Napi::Env env);

 private:
  struct Record {
    std::shared_ptr<BufferTable> table;
    std::shared_ptr<void> keep;
    napi_ref reference = nullptr;  // weak
    std::list<Record*>::iterator position;
    bool listed = false;
    int64_t size = 0;
  };
  static void Collected(napi_env env, void* data, void* hint);

  std::list<Record*> records_;
};

}  // namespace cryovm
