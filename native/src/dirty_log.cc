#include "dirty_log.h"

#include <algorithm>
#include <cstring>

#include "kvm.h"

namespace cryovm {
namespace {

constexpr uint64_t kPagesAWord = 64;
// Each call locks the virtual machine's memory slots; going over words that are zero costs the kernel next to nothing.
constexpr uint64_t kWordsToSkip = 256;

class Words {
 public:
  Words(const uint8_t* bitmap, uint64_t count) : bitmap_(bitmap), count_(count) {}

  // The first word from `at` on that is not zero; where there is none, how many words there are.
  uint64_t NextSet(uint64_t at) const {
    uint64_t word = 0;  // copied, for the bytes may lie anywhere
    for (; at < count_; at++) {
      std::memcpy(&word, bitmap_ + at * sizeof word, sizeof word);
      if (word != 0) break;
    }
    return at;
  }

 private:
  const uint8_t* bitmap_;
  uint64_t count_;
};

}  // namespace

bool EnableManualDirtyLog(int vm) {
  constexpr int kMode = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
  if ((CheckExtension(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & kMode) == 0) return false;
  struct kvm_enable_cap capability = {};
  capability.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
  // Not KVM_DIRTY_LOG_INITIALLY_SET: the log would then begin with every page.
  capability.args[0] = kMode;
  return ioctl(vm, KVM_ENABLE_CAP, &capability) == 0;
}

void GetDirtyLog(int vm, uint32_t slot, uint8_t* bitmap) {
  struct kvm_dirty_log log = {};
  log.slot = slot;
  log.dirty_bitmap = bitmap;
  KVM_CALL(vm, KVM_GET_DIRTY_LOG, &log, "reading which pages the guest wrote to");
}

void ClearDirtyLog(int vm, uint32_t slot, uint64_t pages, const uint8_t* bitmap) {
  const uint64_t count = DirtyLogSize(pages) / sizeof(uint64_t);
  const Words words(bitmap, count);
  uint64_t first = words.NextSet(0);
  while (first < count) {
    uint64_t end = first + 1;
    uint64_t next = words.NextSet(end);
    while (next < count && next - end < kWordsToSkip) {
      end = next + 1;
      next = words.NextSet(end);
    }
    struct kvm_clear_dirty_log log = {};
    log.slot = slot;
    log.first_page = first * kPagesAWord;
    // A multiple of 64, but for the last word of a slot that is none.
    log.num_pages = static_cast<uint32_t>(std::min(end * kPagesAWord, pages) - log.first_page);
    log.dirty_bitmap = const_cast<uint8_t*>(bitmap + first * sizeof(uint64_t));
    KVM_CALL(vm, KVM_CLEAR_DIRTY_LOG, &log, "protecting the pages that the guest wrote to");
    first = next;
  }
}

}  // namespace cryovm
