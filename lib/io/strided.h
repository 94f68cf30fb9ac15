// Elements of a strided view in C order. Private to lib/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/byte_source.h"

namespace dcl {

/// Whether the elements lie one after the other in C order, with nothing between them.
bool is_contiguous(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// Bytes from the view's first element to the end of its last; 0 without elements. The view lies within a storage.
uint64_t extent_bytes(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t width);

/// Copies a view's elements, some at a time.
class StridedReader {
 public:
  /// `from` holds the extent of the view, beginning at its first element, and must stay.
  StridedReader(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t width,
                std::span<const std::byte> from);
  /// The next elements: as many as `to` holds, which must be whole elements and not more than are left.
  void next(std::span<std::byte> to);
  /// The next `bytes` of them in pieces, as ByteSource::stream gives them.
  void stream(uint64_t bytes, const ByteSink& sink);

 private:
  std::vector<int64_t> shape_, strides_, index_;
  size_t width_;
  const std::byte* at_;
};

}  // namespace dcl
