// One contiguous, growing block of bytes for the pixels of a data set. Contents are uninitialised until written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace dcl {

class PixelPool {
 public:
  /// Readable bytes after the end, so that vector kernels may load past the last pixel.
  static constexpr int64_t kSlack = 64;

  PixelPool() = default;
  ~PixelPool();
  PixelPool(PixelPool&& other) noexcept { swap(other); }
  PixelPool& operator=(PixelPool&& other) noexcept {
    PixelPool moved(std::move(other));
    swap(moved);
    return *this;
  }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

  /// Sets the size, keeping contents; pointers into the pool become invalid. Throws Error{out_of_memory} naming the
  /// size.
  void resize(int64_t bytes);
  /// Gives back what growth reserved beyond size().
  void shrink_to_fit() noexcept;

 private:
  void swap(PixelPool& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  uint8_t* data_ = nullptr;
  int64_t size_ = 0, capacity_ = 0;
};

}  // namespace dcl
