// Pooling: one task per image.
#include "eigen/kernels/pooling.h"

#include "core/parallel.h"
#include "core/with_type.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
#include "eigen/kernels/table.h"

DCL_DISPATCH(PoolingTable, pooling)

namespace dcl {
namespace {

kernels::PoolGeometry geometry_of(const MaxPoolDesc& d) {
  return {d.h, d.w, d.c, d.out_h(), d.out_w(), d.window, d.stride, d.pad};
}

}  // namespace

void EigenBackend::do_max_pool_forward(const MaxPoolDesc& d, ConstTensorRef x, TensorRef y, TensorRef argmax) {
  const kernels::PoolGeometry g = geometry_of(d);
  const int64_t in = g.h * g.w * g.c, out = g.out_h * g.out_w * g.c;
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const auto& kernel = kernels::of_type<T>(kernels::pooling());
    parallel_for(d.n, [&](int64_t n) {
      kernel.max_forward(g, x.as<T>() + n * in, y.as<T>() + n * out, argmax.as<uint8_t>() + n * out);
    });
  });
}

void EigenBackend::do_max_pool_backward(const MaxPoolDesc& d, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) {
  const kernels::PoolGeometry g = geometry_of(d);
  const int64_t in = g.h * g.w * g.c, out = g.out_h * g.out_w * g.c;
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const auto& kernel = kernels::of_type<T>(kernels::pooling());
    parallel_for(d.n, [&](int64_t n) {
      kernel.max_backward(g, dy.as<T>() + n * out, argmax.as<uint8_t>() + n * out, dx.as<T>() + n * in);
    });
  });
}

void EigenBackend::do_average_pool_forward(const AveragePoolDesc& d, ConstTensorRef x, TensorRef y) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const auto& kernel = kernels::of_type<T>(kernels::pooling());
    parallel_for(d.n, [&](int64_t n) {
      kernel.average_forward(x.as<T>() + n * d.h * d.w * d.c, d.h * d.w, d.c, y.as<float>() + n * d.c);
    });
  });
}

void EigenBackend::do_average_pool_backward(const AveragePoolDesc& d, ConstTensorRef dy, TensorRef dx) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const auto& kernel = kernels::of_type<T>(kernels::pooling());
    parallel_for(d.n, [&](int64_t n) {
      kernel.average_backward(dy.as<float>() + n * d.c, d.h * d.w, d.c, dx.as<T>() + n * d.h * d.w * d.c);
    });
  });
}

}  // namespace dcl
