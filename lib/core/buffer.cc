#include "core/buffer.h"

#include "core/backend.h"

namespace dcl {

Buffer::Buffer(Backend& backend, size_t bytes)
    : backend_(&backend), data_(bytes ? backend.allocate(bytes) : nullptr), bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_) backend_->release(data_, bytes_);
}

TensorRef Buffer::view(Shape shape, DType dtype, size_t offset) const {
  const TensorRef view{static_cast<std::byte*>(data_) + offset, shape, dtype};
  if (offset > bytes_ || view.bytes() > bytes_ - offset)
    fail(ErrorKind::internal, "buffer of " + std::to_string(bytes_) + " bytes cannot hold " + shape.text() + " at offset " +
                                  std::to_string(offset));
  return view;
}

HostBuffer::HostBuffer(Backend& backend, size_t bytes)
    : backend_(&backend), data_(bytes ? backend.allocate_host(bytes) : nullptr), bytes_(bytes) {}

HostBuffer::~HostBuffer() {
  if (data_) backend_->release_host(data_, bytes_);
}

}  // namespace dcl
