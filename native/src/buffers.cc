#include "buffers.h"

#include "failure.h"

namespace cryovm {

Napi::ArrayBuffer BufferTable::Make(Napi::Env env, void* data, size_t size, std::shared_ptr<void> keep) {
  auto* record = new Record();
  record->table = shared_from_this();
  record->keep = std::move(keep);
  record->size = static_cast<int64_t>(size);
  napi_value value;
  const napi_status status = napi_create_external_arraybuffer(env, data, size, Collected, record, &value);
  if (status != napi_ok) {
    delete record;
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) {
      napi_value ignored;
      napi_get_and_clear_last_exception(env, &ignored);
    }
    throw Refusal("napi_create_external_arraybuffer",
                  "this Node.js gives no array buffer over " + std::to_string(size) + " bytes of foreign memory");
  }
  napi_create_reference(env, value, 0, &record->reference);
  record->position = records_.insert(records_.end(), record);
  record->listed = true;
  return Napi::ArrayBuffer(env, value);
}

void BufferTable::DetachAll(Napi::Env env) {
  while (!records_.empty()) {
    Record* record = records_.front();
    records_.pop_front();
    record->listed = false;
    napi_value value = nullptr;
    if (record->reference != nullptr) {
      napi_get_reference_value(env, record->reference, &value);
      napi_delete_reference(env, record->reference);
      record->reference = nullptr;
    }
    // A buffer that cannot be detached keeps its memory: leaking is better than a dangling view.
    if (value != nullptr && napi_detach_arraybuffer(env, value) != napi_ok) continue;
    record->keep.reset();
  }
}

void BufferTable::Collected(napi_env env, void*, void* hint) {
  auto* record = static_cast<Record*>(hint);
  if (record->listed) record->table->records_.erase(record->position);
  if (record->reference != nullptr) napi_delete_reference(env, record->reference);
  delete record;
}

}  // namespace cryovm
