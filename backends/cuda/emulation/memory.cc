#include "cuda/emulation/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace dcl::cuda::emulation {
namespace {

std::mutex mutex;
std::map<void*, size_t> blocks;
int accesses = 0;

bool protects() {
  static const char* const setting = std::getenv("DCL_EMULATION_PROTECT");
  return !setting || std::string_view(setting) != "0";
}

void protect_all(int protection) {
  if (!protects()) return;
  for (const auto& [data, bytes] : blocks) mprotect(data, bytes, protection);
}

}  // namespace

void* allocate_device(size_t bytes) {
  const std::lock_guard lock(mutex);
  const bool open = accesses > 0 || !protects();
  void* data = mmap(nullptr, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  madvise(data, bytes, MADV_HUGEPAGE);  // fewer pages to protect
  blocks[data] = bytes;
  return data;
}

void release_device(void* data) noexcept {
  if (!data) return;
  const std::lock_guard lock(mutex);
  const auto found = blocks.find(data);
  munmap(data, found->second);
  blocks.erase(found);
}

DeviceAccess::DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (accesses++ == 0) protect_all(PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (--accesses == 0) protect_all(PROT_NONE);
}

}  // namespace dcl::cuda::emulation
