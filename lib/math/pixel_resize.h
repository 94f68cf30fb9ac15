// Pillow's bilinear resize of 8-bit images: a triangle filter that widens when shrinking, with 22-bit fixed-point
// weights (Resample.c). A pass is out = (sum of weight * in + half) >> 22. Order of the passes:
// horizontal, rounded to bytes, then vertical, as in every Pillow up to 12.1; 12.2 goes vertical first for images more
// than 100 times as tall as wide, Pillow 13 for all tall, narrow ones. A pass whose extent does not change is left out.
#pragma once

#include <cstdint>

#include "math/host_device.h"

namespace dcl {

inline constexpr int kResizeBits = 22;
inline constexpr int32_t kResizeHalf = 1 << (kResizeBits - 1);

/// One axis, from `in` to `out` samples.
struct ResizeAxis {
  double scale;    ///< in / out
  double support;  ///< half the width of the filter, in samples of the input
  double inverse_stretch;
  int32_t in;
};

DCL_HD ResizeAxis resize_axis(int32_t in, int32_t out) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = scale < 1.0 ? 1.0 : scale;
  return {scale, stretch, 1.0 / stretch, in};
}

/// No output has more taps than this.
DCL_HD int32_t resize_max_taps(const ResizeAxis& axis) { return static_cast<int32_t>(2.0 * axis.support) + 2; }

/// Which inputs make output `index`: [first, end).
struct ResizeSpan {
  double center;
  int32_t first, end;
};

DCL_HD ResizeSpan resize_span(const ResizeAxis& axis, int32_t index) {
  const double center = (index + 0.5) * axis.scale;
  const int32_t first = static_cast<int32_t>(center - axis.support + 0.5);
  const int32_t end = static_cast<int32_t>(center + axis.support + 0.5);
  return {center, first < 0 ? 0 : first, end > axis.in ? axis.in : end};
}

/// Weight of input `position` before the weights of an output are divided by their sum (taken in order of position).
DCL_HD double resize_raw_weight(const ResizeAxis& axis, const ResizeSpan& span, int32_t position) {
  const double offset = (position - span.center + 0.5) * axis.inverse_stretch;
  const double distance = offset < 0.0 ? -offset : offset;
  return distance < 1.0 ? 1.0 - distance : 0.0;
}

DCL_HD int32_t resize_fixed_weight(double weight, double sum) {
  return static_cast<int32_t>(0.5 + weight / sum * (1 << kResizeBits));
}

/// The weights of one output, of the inputs of its span in order.
DCL_HD void resize_weights(const ResizeAxis& axis, const ResizeSpan& span, int32_t* weights) {
  double sum = 0.0;
  for (int32_t at = span.first; at < span.end; ++at) sum += resize_raw_weight(axis, span, at);
  for (int32_t at = span.first; at < span.end; ++at)
    weights[at - span.first] = resize_fixed_weight(resize_raw_weight(axis, span, at), sum);
}

/// The rounded result of a pass. Weights are not negative, so only the upper end can overflow.
DCL_HD int32_t resize_round(int32_t accumulated) {
  const int32_t value = accumulated >> kResizeBits;
  return value > 255 ? 255 : value;
}

}  // namespace dcl
