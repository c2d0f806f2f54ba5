// Words that vCPU threads answer reads of, and clear bits in, without going to JavaScript: virtio-mmio's interrupt
// status and acknowledge registers, which every interrupt of a guest touches.
#pragma once

#include <linux/kvm.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

namespace cryovm {

class StatusCells {
 public:
  static constexpr uint32_t kCount = 64;
  static constexpr uint64_t kNowhere = ~uint64_t{0};

  StatusCells() {
    for (auto& each : addresses_) each.read = each.acknowledge = kNowhere;
  }

  uint32_t* words() { return words_.data(); }
  size_t size() const { return sizeof words_; }

  bool used(uint32_t cell) const { return (used_ >> cell & 1) != 0; }

  void Add(uint32_t cell, uint64_t read, uint64_t acknowledge) {
    addresses_[cell].read = read;
    addresses_[cell].acknowledge = acknowledge;
    used_ |= uint64_t{1} << cell;
  }
  void Remove(uint32_t cell) {
    used_ &= ~(uint64_t{1} << cell);
    addresses_[cell].read = addresses_[cell].acknowledge = kNowhere;
  }

  // On a vCPU thread: answers the access if it is one of a cell's.
  bool Answer(struct kvm_run* run) {
    if (run->mmio.len != 4) return false;
    for (uint64_t left = used_; left != 0; left &= left - 1) {
      const int cell = __builtin_ctzll(left);
      if (run->mmio.is_write != 0) {
        if (addresses_[cell].acknowledge != run->mmio.phys_addr) continue;
        uint32_t bits;
        std::memcpy(&bits, run->mmio.data, sizeof bits);
        __atomic_fetch_and(&words_[cell], ~bits, __ATOMIC_SEQ_CST);
        return true;
      }
      if (addresses_[cell].read != run->mmio.phys_addr) continue;
      const uint32_t word = __atomic_load_n(&words_[cell], __ATOMIC_SEQ_CST);
      std::memcpy(run->mmio.data, &word, sizeof word);
      return true;
    }
    return false;
  }

 private:
  struct Addresses {
    std::atomic<uint64_t> read;
    std::atomic<uint64_t> acknowledge;
  };
  alignas(64) std::array<uint32_t, kCount> words_ = {};
  std::array<Addresses, kCount> addresses_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace cryovm
