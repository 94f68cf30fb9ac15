// Shapes and non-owning views of contiguous memory. Layouts: activations NHWC, filters KRSC, matrices row-major.
#pragma once

#include <array>
#include <initializer_list>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace dcl {

/// Up to four extents; rank 0 is a scalar (one element).
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    if (extents.size() > kMaxRank) fail(ErrorKind::internal, "shape of rank above 4");
    for (const int64_t extent : extents) extents_[rank_++] = extent;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[axis]; }
  int64_t elements() const {
    int64_t product = 1;
    for (int axis = 0; axis < rank_; ++axis) product *= extents_[axis];
    return product;
  }
  bool operator==(const Shape&) const = default;

  /// "[2, 32, 32, 3]", for messages.
  std::string text() const {
    std::string out = "[";
    for (int axis = 0; axis < rank_; ++axis) out += (axis ? ", " : "") + std::to_string(extents_[axis]);
    return out + "]";
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// A read-only view; `data` may be null only where an op says that the operand is optional.
struct ConstTensorRef {
  const void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;

  explicit operator bool() const { return data != nullptr; }
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * size_of(dtype); }
  template <class T>
  const T* as() const {
    if (dtype != dtype_of<T>) fail(ErrorKind::internal, "tensor " + shape.text() + " is not of the type asked for");
    return static_cast<const T*>(data);
  }
};

/// A writable view. It converts to a read-only one.
struct TensorRef {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;

  operator ConstTensorRef() const { return {data, shape, dtype}; }
  explicit operator bool() const { return data != nullptr; }
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * size_of(dtype); }
  template <class T>
  T* as() const {
    if (dtype != dtype_of<T>) fail(ErrorKind::internal, "tensor " + shape.text() + " is not of the type asked for");
    return static_cast<T*>(data);
  }
};

template <class T>
TensorRef tensor_of(T* data, Shape shape) {
  return {data, shape, dtype_of<T>};
}
template <class T>
ConstTensorRef tensor_of(const T* data, Shape shape) {
  return {data, shape, dtype_of<T>};
}

}  // namespace dcl
