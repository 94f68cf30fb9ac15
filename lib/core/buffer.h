// Owning memory of a backend, and of the host for copies to and from it. Contents start as zeros.
#pragma once

#include <cstddef>
#include <utility>

#include "core/tensor.h"

namespace dcl {

class Backend;

class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// A view of `shape` at `offset` bytes from the start; throws when it does not fit.
  TensorRef view(Shape shape, DType dtype, size_t offset = 0) const;

 private:
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Memory of the host that enqueued copies may use while the host goes on (page-locked on a device). Starts as zeros.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(Backend& backend, size_t bytes);
  ~HostBuffer();
  HostBuffer(HostBuffer&& other) noexcept { swap(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    HostBuffer moved(std::move(other));
    swap(moved);
    return *this;
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void swap(HostBuffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace dcl
