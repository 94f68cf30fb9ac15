// Crop and resize of one view by one block (math/pixel_resize.h). The two passes are not kept apart: each output takes
// its column of horizontally filtered, rounded bytes as it needs them. Shrinking by n reads every pixel about four
// times instead of about 2 + 2 / n times, in exchange for no memory between the passes and images of any size.
// Included by augment.cu only.
#pragma once

#include "cuda/launch.h"
#include "math/pixel_hsv.h"
#include "math/pixel_resize.h"
#include "math/view_params.h"

namespace dcl::cuda {

inline constexpr int kAugmentThreads = 256;
inline constexpr int kStrip = 128;     // most outputs of an axis whose weights are held at a time
inline constexpr int kWeights = 1024;  // most weights held
static_assert(kAugmentThreads == 2 * kStrip);

/// One axis of a view: `count` outputs from `begin` on of a resize from `in` to `out` samples, and the filters of the
/// strip of them that is being made. An output with more than kWeights taps (a shrink by 512) has its weights computed
/// as they are used.
struct ViewAxis {
  ResizeAxis geometry;
  double sum[kStrip];  ///< of the raw weights
  int32_t first[kStrip], tap_count[kStrip];
  int32_t weights[kWeights];
  int32_t begin, count;
  int32_t taps;   ///< most taps of an output
  int32_t strip;  ///< outputs per strip

  /// By one thread.
  __device__ void set(int32_t in, int32_t out, int32_t begin_at, int32_t outputs) {
    geometry = resize_axis(in, out);
    begin = begin_at, count = outputs;
    taps = resize_max_taps(geometry);
    strip = taps <= kWeights ? min(kStrip, kWeights / taps) : kStrip;
  }
  __device__ bool holds_weights() const { return taps <= kWeights; }

  /// Output i of the strip that begins at `from`, if there is one: one thread each. Out of line, as it is
  /// rare and takes many registers.
  __device__ __noinline__ void fill(int32_t from, int32_t i) {
    if (i >= min(strip, count - from)) return;
    const ResizeSpan span = resize_span(geometry, begin + from + i);
    double raw_sum = 0.0;
#pragma unroll 1
    for (int32_t at = span.first; at < span.end; ++at) raw_sum += resize_raw_weight(geometry, span, at);
    sum[i] = raw_sum;
    first[i] = span.first;
    tap_count[i] = span.end - span.first;
    if (!holds_weights()) return;
#pragma unroll 1
    for (int32_t at = span.first; at < span.end; ++at)
      weights[i * taps + at - span.first] = resize_fixed_weight(resize_raw_weight(geometry, span, at), raw_sum);
  }

  /// Weight of tap k of output from + i. kHeld: the weights are held.
  template <bool kHeld>
  __device__ int32_t weight(int32_t from, int32_t i, int32_t k) const {
    if (kHeld || holds_weights()) return weights[i * taps + k];
    const ResizeSpan span = resize_span(geometry, begin + from + i);
    return resize_fixed_weight(resize_raw_weight(geometry, span, span.first + k), sum[i]);
  }
};

/// The resize of one view, in shared memory: the same for all threads, and too much for their registers.
struct ViewResize {
  ViewAxis x_axis, y_axis;
  const uint8_t* crop;
  int64_t row_bytes;

  /// Output (y0 + y, x0 + x) of the strips that begin at y0 and x0. kHeld: both axes hold their weights.
  template <bool kHeld>
  __device__ __forceinline__ Rgb pixel(int32_t y0, int32_t y, int32_t x0, int32_t x) const {
    const uint8_t* from = crop + y_axis.first[y] * row_bytes + 3 * x_axis.first[x];
    int32_t sums[3] = {kResizeHalf, kResizeHalf, kResizeHalf};
#pragma unroll 1
    for (int32_t j = 0; j < y_axis.tap_count[y]; ++j, from += row_bytes) {
      int32_t row[3] = {kResizeHalf, kResizeHalf, kResizeHalf};
#pragma unroll(kHeld ? 2 : 1)
      for (int32_t i = 0; i < x_axis.tap_count[x]; ++i) {
        const int32_t weight = x_axis.weight<kHeld>(x0, x, i);
        for (int c = 0; c < 3; ++c) row[c] += weight * from[3 * i + c];
      }
      const int32_t weight = y_axis.weight<kHeld>(y0, y, j);
      for (int c = 0; c < 3; ++c) sums[c] += weight * resize_round(row[c]);
    }
    return {resize_round(sums[0]), resize_round(sums[1]), resize_round(sums[2])};
  }
};

/// Out of line: its arithmetic takes no registers from the usual images.
__device__ __noinline__ Rgb pixel_without_weights(const ViewResize& resize, int32_t y0, int32_t y, int32_t x0,
                                                  int32_t x) {
  return resize.pixel<false>(y0, y, x0, x);
}

/// The pixels of the resized crop's window, flipped where asked for, to image [h, w, 3].
__device__ inline void resize_view(const AugmentDesc& d, const uint8_t* pool, const ViewParams& v, ViewResize& resize,
                                   uint8_t* image) {
  const auto h = static_cast<int32_t>(d.h), w = static_cast<int32_t>(d.w);
  if (threadIdx.x == 0) {
    resize.x_axis.set(v.crop_w, v.resize_w ? v.resize_w : w, v.window_x, w);
    resize.y_axis.set(v.crop_h, v.resize_h ? v.resize_h : h, v.window_y, h);
    resize.row_bytes = int64_t{3} * v.image_w;
    resize.crop = pool + v.image_offset + v.crop_y * resize.row_bytes + 3 * v.crop_x;
  }
  __syncthreads();
  const bool held = resize.x_axis.holds_weights() && resize.y_axis.holds_weights();
  for (int32_t y0 = 0; y0 < h; y0 += resize.y_axis.strip)
    for (int32_t x0 = 0; x0 < w; x0 += resize.x_axis.strip) {
      __syncthreads();
      const bool of_x = threadIdx.x < kStrip;
      (of_x ? resize.x_axis : resize.y_axis).fill(of_x ? x0 : y0, static_cast<int32_t>(threadIdx.x) % kStrip);
      __syncthreads();
      const int32_t columns = min(resize.x_axis.strip, w - x0), rows = min(resize.y_axis.strip, h - y0);
      for (int32_t p = static_cast<int32_t>(threadIdx.x); p < rows * columns; p += kAugmentThreads) {
        const int32_t y = p / columns, x = p - y * columns;
        const Rgb color = held ? resize.pixel<true>(y0, y, x0, x) : pixel_without_weights(resize, y0, y, x0, x);
        const int32_t column = v.flip ? w - 1 - (x0 + x) : x0 + x;
        uint8_t* pixel = image + 3 * ((y0 + y) * w + column);
        pixel[0] = static_cast<uint8_t>(color.r);
        pixel[1] = static_cast<uint8_t>(color.g);
        pixel[2] = static_cast<uint8_t>(color.b);
      }
    }
}

}  // namespace dcl::cuda
