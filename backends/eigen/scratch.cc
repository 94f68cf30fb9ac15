#include "eigen/scratch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/extent.h"
#include "core/parallel.h"

namespace dcl {
namespace {

constexpr int kSlots = static_cast<int>(ScratchSlot::count);

class Block {
 public:
  ~Block() { std::free(data_); }
  void* data() const { return data_; }
  /// False without memory; what was there is then still there.
  bool grow(size_t bytes) noexcept {
    if (bytes_ >= bytes) return true;
    void* data = std::aligned_alloc(kCacheLine, padded(bytes));
    if (!data) return false;
    if (data_) std::memcpy(data, data_, bytes_);
    std::free(data_);
    data_ = data;
    bytes_ = padded(bytes);
    return true;
  }

  size_t shared = 0;  ///< every thread that this one starts loops with, or is started with, has as much

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

thread_local Block t_blocks[kSlots];
std::atomic<size_t> g_largest[kSlots];  // asked for in a parallel loop

/// Which threads get a piece of a loop is chance: all grow when one does, so that none is found too small at a later
/// step.
void grow_as_others() noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t largest = g_largest[slot].load(std::memory_order_relaxed);
    if (t_blocks[slot].grow(largest)) t_blocks[slot].shared = largest;
  }
}

}  // namespace

void* thread_scratch(ScratchSlot slot, size_t bytes) {
  const int index = static_cast<int>(slot);
  Block& block = t_blocks[index];
  if (block.shared >= bytes) return block.data();
  if (!block.grow(bytes))
    fail(ErrorKind::out_of_memory,
         "cannot allocate " + std::to_string(bytes >> 20) + " MiB of scratch memory: use a smaller batch");
  if (after_loop_on_every_thread(grow_as_others)) {
    size_t largest = g_largest[index].load(std::memory_order_relaxed);
    while (largest < bytes && !g_largest[index].compare_exchange_weak(largest, bytes, std::memory_order_relaxed)) {
    }
  }
  return block.data();
}

}  // namespace dcl
