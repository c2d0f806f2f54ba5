#include "mapping_share.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>

namespace cryovm {
namespace {

std::atomic<uint64_t> all_taken{0};

uint64_t Account() {
  static const uint64_t account = [] {
    unsigned long long maximum = 65530;
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/sys/vm/max_map_count", "re"), &fclose);
    if (file != nullptr && fscanf(file.get(), "%llu", &maximum) != 1) maximum = 65530;
    return static_cast<uint64_t>(maximum) / 4;
  }();
  return account;
}

}  // namespace

void MappingShare::Set(uint64_t parts) noexcept {
  all_taken += parts - taken_;
  taken_ = parts;
}

uint64_t MappingShare::TakeUpTo(uint64_t wanted) noexcept {
  const uint64_t limit = Account() - Account() / 4;
  uint64_t all = all_taken;
  uint64_t got;
  do {
    got = std::min(wanted, all < limit ? limit - all : 0);
  } while (!all_taken.compare_exchange_weak(all, all + got));
  taken_ += got;
  return got;
}

bool MappingShare::AnyLeft() { return all_taken < Account(); }

}  // namespace cryovm
