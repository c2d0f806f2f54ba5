// How many mappings this process may still have: vm.max_map_count (65,530 as the kernel comes) is for all of it, and
// every memory here shares the account.
#pragma once

#include <cstdint>
#include <utility>

namespace cryovm {

// What one memory has of the account. A part of a mapping that becomes a mapping of its own splits what it lies in, so
// that it is two mappings more: the whole account is as many parts as a quarter of what the kernel allows, which takes
// half of it.
class MappingShare {
 public:
  MappingShare() = default;
  MappingShare(MappingShare&& other) noexcept : taken_(std::exchange(other.taken_, 0)) {}
  MappingShare& operator=(MappingShare&& other) noexcept {
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~MappingShare() { Set(0); }

  uint64_t taken() const { return taken_; }
  // Also beyond what the account has.
  void Set(uint64_t parts) noexcept;
  // Takes up to `wanted` parts more, but leaves a quarter of the account to others. Returns how many.
  uint64_t TakeUpTo(uint64_t wanted) noexcept;

  // Whether anything is left for anyone.
  static bool AnyLeft();

 private:
  uint64_t taken_ = 0;
};

}  // namespace cryovm
