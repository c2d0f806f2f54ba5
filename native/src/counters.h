// What is alive in the whole process, for leak tests.
#pragma once

#include <atomic>

namespace cryovm {

struct Counters {
  std::atomic<int> vms{0};
  std::atomic<int> memories{0};
  std::atomic<int> threads{0};
};

inline Counters counters;

}  // namespace cryovm
