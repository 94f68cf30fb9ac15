// Parts of a tensor along its first axis.
#pragma once

#include <cstddef>

#include "core/tensor.h"

namespace dcl {

/// `count` entries of the first axis, from `first` on. Error{internal} when there are no such entries.
inline TensorRef rows(TensorRef of, int64_t first, int64_t count) {
  const Shape& s = of.shape;
  if (s.rank() == 0 || first < 0 || count < 0 || first > s[0] - count)
    fail(ErrorKind::internal, "no such rows of a tensor " + s.text());
  const size_t entry = s[0] == 0 ? 0 : of.bytes() / static_cast<size_t>(s[0]);
  void* data = static_cast<std::byte*>(of.data) + static_cast<size_t>(first) * entry;
  switch (s.rank()) {
    case 1:
      return {data, {count}, of.dtype};
    case 2:
      return {data, {count, s[1]}, of.dtype};
    case 3:
      return {data, {count, s[1], s[2]}, of.dtype};
    default:
      return {data, {count, s[1], s[2], s[3]}, of.dtype};
  }
}
inline ConstTensorRef rows(ConstTensorRef of, int64_t first, int64_t count) {
  return rows(TensorRef{const_cast<void*>(of.data), of.shape, of.dtype}, first, count);
}

}  // namespace dcl
