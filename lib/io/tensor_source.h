// Tensors to be written, one after the other, by the writer of any format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/byte_source.h"
#include "io/file_dtype.h"

namespace dcl {

/// A tensor to be written; `produce` is called once, when its turn comes, and must hand over exactly its bytes. It may
/// reuse one staging buffer for every tensor (device to host copies).
struct TensorSource {
  std::string name;
  FileDType dtype = FileDType::f32;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink& sink)> produce;
};

/// A tensor that lies in memory, which must stay until it is written.
template <class T>
TensorSource tensor_source(std::string name, std::vector<int64_t> shape, std::span<const T> values) {
  return {std::move(name), file_dtype(dtype_of<T>), std::move(shape),
          [values](const ByteSink& sink) { sink(values.data(), values.size_bytes()); }};
}
/// i64 (PyTorch's num_batches_tracked), which is no dtype of a backend.
TensorSource tensor_source_i64(std::string name, std::vector<int64_t> shape, std::span<const int64_t> values);

// ---- For writers ----------------------------------------------------------------------------------------------------

/// Error{internal} for a shape with a negative extent or too many bytes.
uint64_t bytes_of(const TensorSource& tensor);
/// Refuses what a reader would refuse. Error{data} for a name (which may be another file's, or begin with the user's
/// prefix) that is empty, too long, no UTF-8 or has a NUL; Error{internal} for one that stands twice, a rank above 8
/// and too many tensors.
void check_sources(std::span<const TensorSource> tensors);
/// Has the tensor produced into `sink`; Error{internal} when it did not give exactly its bytes.
void produce_into(const TensorSource& tensor, const ByteSink& sink);

}  // namespace dcl
