// The terms of the sums that convolutions are made of, by definition, in double: each function calls add(term) for
// every one of one result. Included by .cu files.
#pragma once

#include "core/ops.h"
#include "cuda/launch.h"
#include "cuda/vector.h"

namespace dcl::cuda {

/// Their sum.
struct Total {
  double value = 0;
  __device__ void operator()(double term) { value += term; }
};

template <class A, class B>
__device__ __forceinline__ double product(A a, B b) {
  return static_cast<double>(to_float(a)) * static_cast<double>(to_float(b));
}

/// Forward, place `at` of y [n, out_h, out_w, k]: the window and the input channels.
template <class T, class F, class Add>
__device__ void forward_terms(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* x, const F* filter, int64_t at,
                              Add& add) {
  const int64_t k = at % d.k, j = at / d.k % out_w, i = at / d.k / out_w % out_h, n = at / d.k / out_w / out_h;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
      if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
      const T* pixel = x + ((n * d.h + row) * d.w + column) * d.c;
      const F* weights = filter + ((k * d.r + r) * d.s + s) * d.c;
      for (int64_t c = 0; c < d.c; ++c) add(product(pixel[c], weights[c]));
    }
}

/// Backward, place `at` of dx [n, h, w, c]: the windows that hold it and their channels.
template <class T, class F, class Add>
__device__ void data_terms(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* dy, const F* filter, int64_t at,
                           Add& add) {
  const int64_t c = at % d.c, column = at / d.c % d.w, row = at / d.c / d.w % d.h, n = at / d.c / d.w / d.h;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t top = row + d.pad - r, left = column + d.pad - s;  // stride times the output pixel
      if (top < 0 || left < 0 || top % d.stride != 0 || left % d.stride != 0) continue;
      const int64_t i = top / d.stride, j = left / d.stride;
      if (i >= out_h || j >= out_w) continue;
      const T* gradient = dy + ((n * out_h + i) * out_w + j) * d.k;
      const F* weights = filter + (r * d.s + s) * d.c + c;
      for (int64_t k = 0; k < d.k; ++k) add(product(gradient[k], weights[k * d.r * d.s * d.c]));
    }
}

/// Backward, place `at` of dfilter [k, r, s, c]: the output pixels of every step-th image from `first` on.
template <class T, class Add>
__device__ void filter_terms(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* x, const T* dy, int64_t at,
                             Add& add, int64_t first = 0, int64_t step = 1) {
  const int64_t c = at % d.c, s = at / d.c % d.s, r = at / d.c / d.s % d.r, k = at / d.c / d.s / d.r;
  for (int64_t n = first; n < d.n; n += step)
    for (int64_t i = 0; i < out_h; ++i)
      for (int64_t j = 0; j < out_w; ++j) {
        const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
        if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
        add(product(x[((n * d.h + row) * d.w + column) * d.c + c], dy[((n * out_h + i) * out_w + j) * d.k + k]));
      }
}

}  // namespace dcl::cuda
