// Crop and resize of one view by one block (math/pixel_resize.h). The two passes are not kept apart: each output takes
// its column of horizontally filtered, rounded bytes as it needs them. Shrinking by n reads every pixel about four
// times instead of about 2 + 2 / n times, in exchange for no memory between the passes and images of any size.
// Included by augment.cu only.
#pragma once

#include "cuda/launch.h"
#include "math/pixel_resize.h"
#include "math/view_params.h"

namespace dcl::cuda {

inline constexpr int kAugmentThreads = 256;
inline constexpr int kStrip = 128;     // most outputs of an axis whose weights are held at a time
inline constexpr int kWeights = 1024;  // most weights held

/// Filters of a strip of outputs of one axis. An output with more than kWeights taps (a shrink by 512) has its weights
/// computed as they are used.
struct StripTaps {
  double sum[kStrip];  ///< of the raw weights
  int32_t first[kStrip], count[kStrip];
  int32_t weights[kWeights];
};

/// One axis of a view: `count` outputs from `begin` on of a resize from `in` to `out` samples.
struct ViewAxis {
  ResizeAxis geometry;
  int32_t begin, count;
  int32_t taps;   ///< most taps of an output
  int32_t strip;  ///< outputs per strip

  __device__ ViewAxis(int32_t in, int32_t out, int32_t begin, int32_t count)
      : geometry(resize_axis(in, out)), begin(begin), count(count), taps(resize_max_taps(geometry)), strip(kStrip) {
    if (taps <= kWeights) strip = min(strip, kWeights / taps);
  }
  __device__ bool holds_weights() const { return taps <= kWeights; }

  /// Outputs [from, from + strip), one thread each.
  __device__ void fill(int32_t from, StripTaps& strip_taps) const {
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < min(strip, count - from); i += kAugmentThreads) {
      const ResizeSpan span = resize_span(geometry, begin + from + i);
      double sum = 0.0;
      for (int32_t at = span.first; at < span.end; ++at) sum += resize_raw_weight(geometry, span, at);
      strip_taps.sum[i] = sum;
      strip_taps.first[i] = span.first;
      strip_taps.count[i] = span.end - span.first;
      if (!holds_weights()) continue;
      for (int32_t at = span.first; at < span.end; ++at)
        strip_taps.weights[i * taps + at - span.first] =
            resize_fixed_weight(resize_raw_weight(geometry, span, at), sum);
    }
  }

  /// Weight of tap k of output from + i.
  __device__ int32_t weight(const StripTaps& strip_taps, int32_t from, int32_t i, int32_t k) const {
    if (holds_weights()) return strip_taps.weights[i * taps + k];
    const ResizeSpan span = resize_span(geometry, begin + from + i);
    return resize_fixed_weight(resize_raw_weight(geometry, span, span.first + k), strip_taps.sum[i]);
  }
};

/// The pixels of the resized crop's window, flipped where asked for, to image [h, w, 3].
__device__ inline void resize_view(const AugmentDesc& d, const uint8_t* pool, const ViewParams& v, StripTaps& x_taps,
                                   StripTaps& y_taps, uint8_t* image) {
  const auto h = static_cast<int32_t>(d.h), w = static_cast<int32_t>(d.w);
  const ViewAxis x_axis(v.crop_w, v.resize_w ? v.resize_w : w, v.window_x, w);
  const ViewAxis y_axis(v.crop_h, v.resize_h ? v.resize_h : h, v.window_y, h);
  const int64_t row_bytes = int64_t{3} * v.image_w;
  const uint8_t* crop = pool + v.image_offset + v.crop_y * row_bytes + 3 * v.crop_x;
  for (int32_t y0 = 0; y0 < h; y0 += y_axis.strip)
    for (int32_t x0 = 0; x0 < w; x0 += x_axis.strip) {
      __syncthreads();
      y_axis.fill(y0, y_taps);
      x_axis.fill(x0, x_taps);
      __syncthreads();
      const int32_t columns = min(x_axis.strip, w - x0), rows = min(y_axis.strip, h - y0);
      for (int32_t p = static_cast<int32_t>(threadIdx.x); p < rows * columns; p += kAugmentThreads) {
        const int32_t y = p / columns, x = p - y * columns;
        int32_t sums[3] = {kResizeHalf, kResizeHalf, kResizeHalf};
        for (int32_t j = 0; j < y_taps.count[y]; ++j) {
          const uint8_t* from = crop + (y_taps.first[y] + j) * row_bytes + 3 * x_taps.first[x];
          int32_t row[3] = {kResizeHalf, kResizeHalf, kResizeHalf};
          for (int32_t i = 0; i < x_taps.count[x]; ++i) {
            const int32_t weight = x_axis.weight(x_taps, x0, x, i);
            for (int c = 0; c < 3; ++c) row[c] += weight * from[3 * i + c];
          }
          const int32_t weight = y_axis.weight(y_taps, y0, y, j);
          for (int c = 0; c < 3; ++c) sums[c] += weight * resize_round(row[c]);
        }
        const int32_t column = v.flip ? w - 1 - (x0 + x) : x0 + x;
        for (int c = 0; c < 3; ++c)
          image[3 * ((y0 + y) * w + column) + c] = static_cast<uint8_t>(resize_round(sums[c]));
      }
    }
}

}  // namespace dcl::cuda
