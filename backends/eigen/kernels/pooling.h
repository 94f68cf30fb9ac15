// Pooling of one NHWC image; loops run over channels.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace dcl::kernels {

struct PoolGeometry {
  int64_t h, w, c, out_h, out_w, window, stride, pad;
};

template <class T>
struct PoolingKernels {
  /// y, argmax [out_h, out_w, c]; a NaN in the window wins, as in PyTorch.
  void (*max_forward)(const PoolGeometry& g, const T* x, T* y, uint8_t* argmax);
  /// dx [h, w, c] gathers from every window that covers a pixel, in window order; one rounding.
  void (*max_backward)(const PoolGeometry& g, const T* dy, const uint8_t* argmax, T* dx);
  /// y[c] = mean over `pixels`.
  void (*average_forward)(const T* x, int64_t pixels, int64_t channels, float* y);
  /// dx = dy / pixels.
  void (*average_backward)(const float* dy, int64_t pixels, int64_t channels, T* dx);
};

struct PoolingTable {
  PoolingKernels<float> f32;
  PoolingKernels<bf16> bf16_;
};
const PoolingTable& pooling();

}  // namespace dcl::kernels
