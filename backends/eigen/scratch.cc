#include "eigen/scratch.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace dcl {
namespace {

struct Block {
  void* data = nullptr;
  size_t bytes = 0;
  ~Block() { std::free(data); }
};

constexpr size_t kAlignment = 64;

}  // namespace

void* thread_scratch(ScratchSlot slot, size_t bytes) {
  static thread_local Block blocks[static_cast<int>(ScratchSlot::count)];
  Block& block = blocks[static_cast<int>(slot)];
  if (block.bytes >= bytes) return block.data;
  const size_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, padded);
  if (!data)
    fail(ErrorKind::out_of_memory,
         "cannot allocate " + std::to_string(bytes >> 20) + " MiB of scratch memory: use a smaller batch");
  std::free(block.data);
  block.data = data;
  block.bytes = padded;
  return data;
}

}  // namespace dcl
