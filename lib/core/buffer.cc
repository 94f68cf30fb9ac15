#include "core/buffer.h"

#include "core/backend.h"

namespace dcl {

template <MemoryOf kWhose>
OwnedMemory<kWhose>::OwnedMemory(Backend& backend, size_t bytes) : backend_(&backend), bytes_(bytes) {
  if (bytes == 0) return;
  data_ = kWhose == MemoryOf::backend ? backend.allocate(bytes) : backend.allocate_host(bytes);
}

template <MemoryOf kWhose>
OwnedMemory<kWhose>::~OwnedMemory() {
  if (!data_) return;
  kWhose == MemoryOf::backend ? backend_->release(data_, bytes_) : backend_->release_host(data_, bytes_);
}

template class OwnedMemory<MemoryOf::backend>;
template class OwnedMemory<MemoryOf::host>;

TensorRef Buffer::view(Shape shape, DType dtype, size_t offset) const {
  const TensorRef view{static_cast<std::byte*>(data()) + offset, shape, dtype};
  if (offset > bytes() || view.bytes() > bytes() - offset)
    fail(ErrorKind::internal, "buffer of " + std::to_string(bytes()) + " bytes cannot hold " + shape.text() +
                                  " at offset " + std::to_string(offset));
  return view;
}

}  // namespace dcl
