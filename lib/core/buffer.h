// Owning memory of a backend, and of the host for copies to and from it. Contents start as zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/tensor.h"

namespace dcl {

class Backend;

/// Whose memory: the backend's, or the host's that enqueued copies may use while the host goes on (page-locked on a
/// device).
enum class MemoryOf : uint8_t { backend, host };

/// Owner of one block.
template <MemoryOf kWhose>
class OwnedMemory {
 public:
  OwnedMemory() = default;
  OwnedMemory(Backend& backend, size_t bytes);
  ~OwnedMemory();
  OwnedMemory(OwnedMemory&& other) noexcept { swap(other); }
  OwnedMemory& operator=(OwnedMemory&& other) noexcept {
    OwnedMemory moved(std::move(other));
    swap(moved);
    return *this;
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(OwnedMemory& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

class Buffer : public OwnedMemory<MemoryOf::backend> {
 public:
  using OwnedMemory::OwnedMemory;
  /// A view of `shape` at `offset` bytes from the start; throws when it does not fit.
  TensorRef view(Shape shape, DType dtype, size_t offset = 0) const;
};

class HostBuffer : public OwnedMemory<MemoryOf::host> {
 public:
  using OwnedMemory::OwnedMemory;
  std::byte* data() const { return static_cast<std::byte*>(OwnedMemory::data()); }
};

}  // namespace dcl
