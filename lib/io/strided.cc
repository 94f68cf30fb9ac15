#include "io/strided.h"

#include <algorithm>
#include <cstring>

namespace dcl {

bool is_contiguous(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (std::ranges::find(shape, 0) != shape.end()) return true;
  int64_t expected = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    if (strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

uint64_t extent_bytes(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t width) {
  int64_t last = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) return 0;
    last += (shape[axis] - 1) * strides[axis];
  }
  return (static_cast<uint64_t>(last) + 1) * width;
}

StridedReader::StridedReader(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t width,
                             std::span<const std::byte> from)
    : width_(width), at_(from.data()) {
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1) continue;
    shape_.push_back(shape[axis]);
    strides_.push_back(strides[axis] * static_cast<int64_t>(width));
  }
  index_.resize(shape_.size());
}

void StridedReader::stream(uint64_t bytes, const ByteSink& sink) {
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < bytes; done += piece.size()) {
    piece.resize(static_cast<size_t>(std::min<uint64_t>(bytes - done, ByteSource::kPieceBytes)));
    next(piece);
    sink(piece.data(), piece.size());
  }
}

void StridedReader::next(std::span<std::byte> to) {
  std::byte* out = to.data();
  for (std::byte* const end = out + to.size(); out != end; out += width_) {
    std::memcpy(out, at_, width_);
    // To the next element: the last axis first, which goes back to its start when it is through.
    for (size_t axis = shape_.size(); axis-- > 0;) {
      at_ += strides_[axis];
      if (++index_[axis] < shape_[axis]) break;
      at_ -= strides_[axis] * shape_[axis];
      index_[axis] = 0;
    }
  }
}

}  // namespace dcl
