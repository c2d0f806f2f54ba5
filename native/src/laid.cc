#include "laid.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "failure.h"

namespace cryovm {
namespace {

// Mapping a run takes 2.3 us, and 1 more when it is unmapped; copying a page takes 1.7 to 2.4, beside other things. So a
// run of a single page is rather copied, but only where there are many: copies are not shared with other memories of the
// same files, and a diff has to look at each of them.
constexpr uint64_t kRatherCopied = kPageSize;
constexpr size_t kFew = 1024;

bool MapRun(const LaidRun& run, uint8_t* base, const std::vector<BackingFile>& files) {
  const bool zeros = run.file == LaidRun::kZeros;
  const int flags = MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE | (zeros ? MAP_ANONYMOUS : 0);
  const int fd = zeros ? -1 : files[static_cast<size_t>(run.file)].fd.get();
  if (mmap(base + run.start, run.size(), PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(run.file_offset)) !=
      MAP_FAILED) {
    return true;
  }
  if (errno == ENOMEM) return false;  // somebody else used up the mappings of this process
  throw SystemFailure("mmap", errno, "laying a file over guest memory");
}

}  // namespace

size_t Laid::FirstBehind(uint64_t offset) const {
  const auto found = std::upper_bound(runs_.begin(), runs_.end(), offset,
                                      [](uint64_t at, const LaidRun& run) { return at < run.end; });
  return static_cast<size_t>(found - runs_.begin());
}

uint64_t Laid::copied_bytes() const {
  uint64_t bytes = 0;
  for (const LaidRun& run : runs_) bytes += run.copied ? run.size() : 0;
  return bytes;
}

void Laid::Map(uint8_t* base, FileData& file, uint64_t limit) {
  const std::vector<LaidRun*> to_map = RunsToMap(file, limit);
  uint64_t mapped = 0;
  // From the last to the first, which the kernel does in up to a fifth less time.
  for (auto run = to_map.rbegin(); run != to_map.rend(); ++run) {
    (*run)->copied = !MapRun(**run, base, files_);
    if (!(*run)->copied) mapped++;
  }
  share_.Set(mapped);
}

// The largest, as far as there is room. Marks all others as copied, where there is anything to copy.
std::vector<LaidRun*> Laid::RunsToMap(FileData& file, uint64_t limit) {
  std::vector<LaidRun*> runs;
  for (LaidRun& run : runs_) {
    if (run.file != LaidRun::kZeros || file.Next(run.start, run.end)) runs.push_back(&run);
  }
  const auto larger = std::count_if(runs.begin(), runs.end(), [](LaidRun* run) { return run->size() > kRatherCopied; });
  const size_t wanted = std::max(static_cast<size_t>(larger), std::min(runs.size(), kFew));
  const uint64_t room = share_.TakeUpTo(std::min<uint64_t>(limit, wanted));
  if (room < runs.size()) {
    std::vector<LaidRun*> largest = runs;
    std::stable_sort(largest.begin(), largest.end(), [](LaidRun* a, LaidRun* b) { return a->size() > b->size(); });
    for (size_t i = room; i < largest.size(); i++) largest[i]->copied = true;
    std::erase_if(runs, [](LaidRun* run) { return run->copied; });
  }
  return runs;
}

void Laid::Copy(Copier& copier, FileData& file) const {
  std::vector<std::vector<const LaidRun*>> of_files(files_.size());
  for (const LaidRun& run : runs_) {
    if (!run.copied) continue;
    if (run.file != LaidRun::kZeros) {
      of_files[static_cast<size_t>(run.file)].push_back(&run);
      continue;
    }
    uint64_t at = run.start;
    while (const auto data = file.Next(at, run.end)) {
      copier.Zero(*data);
      at = data->end;
    }
  }
  for (size_t i = 0; i < files_.size(); i++) {
    // What lies packed behind each other is read at once; mostly they come in this order.
    const auto before = [](const LaidRun* a, const LaidRun* b) { return a->file_offset < b->file_offset; };
    if (!std::is_sorted(of_files[i].begin(), of_files[i].end(), before)) {
      std::sort(of_files[i].begin(), of_files[i].end(), before);
    }
    for (const LaidRun* run : of_files[i]) copier.Read(files_[i].fd.get(), run->file_offset, {run->start, run->end});
  }
}

}  // namespace cryovm
