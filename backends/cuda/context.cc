#include "cuda/context.h"

#include <algorithm>

namespace dcl::cuda {
namespace {

constexpr size_t kSmallestBlock = 1 << 20;
constexpr int64_t kBlocksPerMultiprocessor = 16;

}  // namespace

Context::~Context() {
  for (const auto* blocks : {&blocks_, &side_blocks_})
    for (const Block& block : *blocks) release(block.data);
  if (order_) destroy_event(order_);
  if (side_) destroy_stream(side_);
  destroy_stream(stream_);
}

void Context::begin_aside() {
  if (!side_) side_ = create_side_stream();
  if (!order_) order_ = create_event();
  follow(side_, stream_, order_);
  current_ = side_;
}

void Context::end_aside() {
  current_ = stream_;
  unjoined_ = true;
}

void Context::join_aside() {
  if (unjoined_) follow(stream_, side_, order_);
  unjoined_ = false;
}

void Context::synchronize() {
  if (side_) cuda::synchronize(side_);
  cuda::synchronize(stream_);
}

void* Context::scratch(size_t bytes) {
  std::vector<Block>& blocks = current_ == stream_ ? blocks_ : side_blocks_;
  if (blocks.empty() || blocks.back().bytes < bytes) {
    const size_t size = std::max({bytes, kSmallestBlock, blocks.empty() ? 0 : 2 * blocks.back().bytes});
    blocks.push_back({allocate(size, current_), size});
  }
  return blocks.back().data;
}

unsigned Context::grid_for(int64_t pieces) const {
  return static_cast<unsigned>(std::clamp<int64_t>(pieces, 1, kBlocksPerMultiprocessor * device_.multiprocessors));
}

}  // namespace dcl::cuda
