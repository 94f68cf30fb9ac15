#include "data/pixel_pool.h"

#include <cstdlib>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/host_memory.h"

namespace dcl {

PixelPool::~PixelPool() { std::free(data_); }

void PixelPool::resize(int64_t bytes) {
  if (bytes < 0 || bytes > std::numeric_limits<int64_t>::max() / 4) {
    fail(ErrorKind::out_of_memory, "the images of the data set do not fit into memory");
  }
  if (bytes > capacity_) {
    if (const size_t left = available_host_memory(); static_cast<size_t>(bytes - size_) > left)
      fail(ErrorKind::out_of_memory,
           "the images of the data set need more than " + std::to_string(bytes >> 20) + " MiB of memory, and only " +
               std::to_string(left >> 20) +
               " MiB are left: take fewer (--max_images), or shrink those of a folder while they are read "
               "(--shorter_side N)");
    // realloc moves large blocks by remapping pages: growth neither copies nor doubles the memory in use.
    const int64_t capacity = bytes > capacity_ + capacity_ / 2 ? bytes : capacity_ + capacity_ / 2;
    void* moved = std::realloc(data_, static_cast<size_t>(capacity + kSlack));
    if (moved == nullptr) {
      fail(ErrorKind::out_of_memory, "no memory for " + std::to_string(bytes) + " bytes of images");
    }
    data_ = static_cast<uint8_t*>(moved);
    capacity_ = capacity;
  }
  size_ = bytes;
}

void PixelPool::shrink_to_fit() noexcept {
  if (data_ == nullptr || capacity_ == size_) return;
  void* moved = std::realloc(data_, static_cast<size_t>(size_ + kSlack));
  if (moved == nullptr) return;
  data_ = static_cast<uint8_t*>(moved);
  capacity_ = size_;
}

}  // namespace dcl
