// The sums that convolutions are made of, by definition, in double. Included by .cu files.
#pragma once

#include "core/ops.h"
#include "cuda/launch.h"
#include "cuda/vector.h"

namespace dcl::cuda {

/// What forward gives for place `at` of y [n, out_h, out_w, k]: the sum over the window and the input channels.
template <class T, class F>
__device__ double forward_sum(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* x, const F* filter,
                              int64_t at) {
  const int64_t k = at % d.k, j = at / d.k % out_w, i = at / d.k / out_w % out_h, n = at / d.k / out_w / out_h;
  double sum = 0;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
      if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
      const T* pixel = x + ((n * d.h + row) * d.w + column) * d.c;
      const F* weights = filter + ((k * d.r + r) * d.s + s) * d.c;
      for (int64_t c = 0; c < d.c; ++c)
        sum += static_cast<double>(to_float(pixel[c])) * static_cast<double>(to_float(weights[c]));
    }
  return sum;
}

/// What backward_data gives for place `at` of dx [n, h, w, c]: the sum over the windows that hold it and their
/// channels.
template <class T, class F>
__device__ double data_sum(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* dy, const F* filter, int64_t at) {
  const int64_t c = at % d.c, column = at / d.c % d.w, row = at / d.c / d.w % d.h, n = at / d.c / d.w / d.h;
  double sum = 0;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t top = row + d.pad - r, left = column + d.pad - s;  // stride times the output pixel
      if (top < 0 || left < 0 || top % d.stride != 0 || left % d.stride != 0) continue;
      const int64_t i = top / d.stride, j = left / d.stride;
      if (i >= out_h || j >= out_w) continue;
      const T* gradient = dy + ((n * out_h + i) * out_w + j) * d.k;
      for (int64_t k = 0; k < d.k; ++k)
        sum += static_cast<double>(to_float(gradient[k])) *
               static_cast<double>(to_float(filter[((k * d.r + r) * d.s + s) * d.c + c]));
    }
  return sum;
}

/// What backward_filter gives for place `at` of dfilter [k, r, s, c]: the sum over the output pixels of every step-th
/// image from `first` on.
template <class T>
__device__ double filter_sum(const ConvDesc& d, int64_t out_h, int64_t out_w, const T* x, const T* dy, int64_t at,
                             int64_t first = 0, int64_t step = 1) {
  const int64_t c = at % d.c, s = at / d.c % d.s, r = at / d.c / d.s % d.r, k = at / d.c / d.s / d.r;
  double sum = 0;
  for (int64_t n = first; n < d.n; n += step)
    for (int64_t i = 0; i < out_h; ++i)
      for (int64_t j = 0; j < out_w; ++j) {
        const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
        if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
        sum += static_cast<double>(to_float(x[((n * d.h + row) * d.w + column) * d.c + c])) *
               static_cast<double>(to_float(dy[((n * out_h + i) * out_w + j) * d.k + k]));
      }
  return sum;
}

}  // namespace dcl::cuda
