// The other ops of a network, checked for every backend: matrix product and pooling.
#include "core/op_checks.h"
#include "core/profile.h"

namespace dcl {

void Backend::gemm(const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  const char* op = "gemm";
  const OpTimer timer(op, *this);
  require(d.dtype == DType::f32 || d.dtype == DType::f64, op, "dtype must be f32 or f64");
  require(d.m > 0 && d.n > 0 && d.k > 0, op, "extents must be positive");
  expect(op, "a", a, d.trans_a ? Shape{d.k, d.m} : Shape{d.m, d.k}, d.dtype);
  expect(op, "b", b, d.trans_b ? Shape{d.n, d.k} : Shape{d.k, d.n}, d.dtype);
  expect_optional(op, "bias", bias, {d.n}, d.dtype);
  expect(op, "c", c, {d.m, d.n}, d.dtype);
  do_gemm(d, a, b, bias, c);
}

void Backend::max_pool_forward(const MaxPoolDesc& d, ConstTensorRef x, TensorRef y, TensorRef argmax) {
  const char* op = "max_pool_forward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  require(d.window > 0 && d.window <= 15 && d.stride > 0 && 2 * d.pad < d.window + 1, op,
          "window must be 1..15, pad at most half of it");
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect(op, "y", y, d.y_shape(), d.dtype);
  expect(op, "argmax", argmax, d.y_shape(), DType::u8);
  do_max_pool_forward(d, x, y, argmax);
}

void Backend::max_pool_backward(const MaxPoolDesc& d, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) {
  const char* op = "max_pool_backward";
  const OpTimer timer(op, *this);
  expect(op, "dy", dy, d.y_shape(), d.dtype);
  expect(op, "argmax", argmax, d.y_shape(), DType::u8);
  expect(op, "dx", dx, d.x_shape(), d.dtype);
  do_max_pool_backward(d, dy, argmax, dx);
}

void Backend::average_pool_forward(const AveragePoolDesc& d, ConstTensorRef x, TensorRef y) {
  const char* op = "average_pool_forward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  expect(op, "x", x, {d.n, d.h, d.w, d.c}, d.dtype);
  expect(op, "y", y, {d.n, d.c}, DType::f32);
  do_average_pool_forward(d, x, y);
}

void Backend::average_pool_backward(const AveragePoolDesc& d, ConstTensorRef dy, TensorRef dx) {
  const char* op = "average_pool_backward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  expect(op, "dy", dy, {d.n, d.c}, DType::f32);
  expect(op, "dx", dx, {d.n, d.h, d.w, d.c}, d.dtype);
  do_average_pool_backward(d, dy, dx);
}

}  // namespace dcl
