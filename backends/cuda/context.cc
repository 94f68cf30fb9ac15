#include "cuda/context.h"

#include <algorithm>

namespace dcl::cuda {
namespace {

constexpr size_t kSmallestBlock = 1 << 20;
constexpr int64_t kBlocksPerMultiprocessor = 16;

}  // namespace

Context::~Context() {
  for (const Block& block : blocks_) release(block.data);
  destroy_stream(stream_);
}

void* Context::scratch(size_t bytes) {
  if (blocks_.empty() || blocks_.back().bytes < bytes) {
    const size_t size = std::max({bytes, kSmallestBlock, blocks_.empty() ? 0 : 2 * blocks_.back().bytes});
    blocks_.push_back({allocate(size, stream_), size});
  }
  forget(blocks_.back().data, bytes, stream_);
  return blocks_.back().data;
}

unsigned Context::grid_for(int64_t pieces) const {
  return static_cast<unsigned>(std::clamp<int64_t>(pieces, 1, kBlocksPerMultiprocessor * device_.multiprocessors));
}

}  // namespace dcl::cuda
