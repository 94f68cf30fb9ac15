// Passes of batch norm over consecutive rows of a [rows, channels] matrix. Every pass reads and writes memory once, in
// order; sums run over the rows of one call in a fixed order, per channel, so that they have the same bits on every
// instruction set.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace dcl::kernels {

/// Per-channel constants of one group; each points to `channels` floats.
struct BatchNormAffine {
  const float* mean;
  const float* scale;  ///< gamma * inv_std
  const float* beta;
};

/// dx = g * g_factor + (x - mean) * x_factor + offset, per channel.
struct BatchNormGradient {
  const float* g_factor;
  const float* x_factor;
  const float* offset;
};

/// Which gradient a backward pass sees: dy itself, or dy where the forward result was positive.
enum class BatchNormMask { none, recomputed, from_y };

/// T is the storage type of x, y and their gradients.
template <class T>
struct BatchNormKernels {
  /// sums[c] = sum of x - shift, sums[channels + c] = sum of (x - shift)^2.
  void (*statistics)(const T* x, int64_t rows, int64_t channels, const float* shift, float* sums);
  /// y = [relu]((x - mean) * scale + beta [+ residual]); residual may be null; y may be x or residual. `stream`: store
  /// past the caches; the row size in bytes and y must be multiples of 64.
  void (*apply)(const T* x, const T* residual, T* y, int64_t rows, int64_t channels, BatchNormAffine affine, bool relu,
                bool stream);
  /// g = masked dy; sums[c] = sum of g, sums[channels + c] = sum of g * (x - mean); g is written to masked unless null
  /// (masked may be dy). y is read for BatchNormMask::from_y only.
  void (*backward_sums)(const T* dy, const T* x, const T* y, T* masked, int64_t rows, int64_t channels,
                        BatchNormAffine affine, BatchNormMask mask, float* sums);
  /// dx from g = dy, masked when `recompute_mask`; dx may be dy. `stream` as above.
  void (*backward_data)(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, BatchNormAffine affine,
                        BatchNormGradient gradient, bool recompute_mask, bool stream);
};

struct BatchNormTable {
  BatchNormKernels<float> f32;
  BatchNormKernels<bf16> bf16_;
};
const BatchNormTable& batch_norm();

}  // namespace dcl::kernels
