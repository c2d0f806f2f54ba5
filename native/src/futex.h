// Waiting on a word of memory. Not std::atomic::wait: whether and how long to spin is decided by the caller here.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace cryovm {

// Returns when woken, when the word is not `expected`, or for no reason: look at the word again.
template <typename Word>
void FutexWait(std::atomic<Word>& word, Word expected) {
  static_assert(sizeof(std::atomic<Word>) == 4);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, static_cast<uint32_t>(expected), nullptr, nullptr, 0);
}

template <typename Word>
void FutexWake(std::atomic<Word>& word) {
  static_assert(sizeof(std::atomic<Word>) == 4);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace cryovm
