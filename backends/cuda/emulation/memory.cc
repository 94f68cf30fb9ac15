#include "cuda/emulation/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

#include "core/error.h"
#include "core/extent.h"

namespace dcl::cuda::emulation {
namespace {

constexpr size_t kAlignment = 256;
const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));

/// What lies behind the address that was given out.
struct Block {
  void* pages;
  size_t bytes;  // whole pages; a guard page follows
};

std::mutex mutex;
std::map<void*, Block> blocks;
int accesses = 0;

bool protects() {
  static const char* const setting = std::getenv("DCL_EMULATION_PROTECT");
  return !setting || std::string_view(setting) != "0";
}

void protect(void* pages, size_t bytes, int protection) {
  if (mprotect(pages, bytes, protection) != 0)
    fail(ErrorKind::internal, "the emulated device's memory cannot be protected");
}

void protect_all(int protection) {
  if (!protects()) return;
  for (const auto& [data, block] : blocks) protect(block.pages, block.bytes, protection);
}

}  // namespace

void* allocate_device(size_t bytes) {
  const std::lock_guard lock(mutex);
  const bool open = accesses > 0 || !protects();
  const size_t whole = padded(bytes, page);
  void* pages = mmap(nullptr, whole + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  if (open) protect(pages, whole, PROT_READ | PROT_WRITE);
  madvise(pages, whole, MADV_HUGEPAGE);  // fewer pages to protect
  void* data = static_cast<char*>(pages) + (whole - padded(bytes, kAlignment));
  blocks[data] = {pages, whole};
  return data;
}

void release_device(void* data) noexcept {
  if (!data) return;
  const std::lock_guard lock(mutex);
  const auto found = blocks.find(data);
  munmap(found->second.pages, found->second.bytes + page);
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
