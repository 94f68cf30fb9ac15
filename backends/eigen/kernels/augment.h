// Pixel operators on one view. A view is three planes of bytes (all of r, then g, then b), `pixels` bytes each, rows
// following one another; the arithmetic is that of lib/math/pixel*.h.
#pragma once

#include <cstdint>

#include "math/bfloat16.h"

namespace dcl::kernels {

/// Weights of one resize axis for `count` consecutive outputs.
struct ResizeWeights {
  int32_t in, out;       ///< extents before and after
  int32_t begin, count;  ///< the outputs that are wanted
  int32_t taps;          ///< resize_max_taps
  int32_t* first;        ///< [count] first input of an output
  int32_t* used;         ///< [count] its number of taps
  int32_t* weights;      ///< [count, taps]
};

struct ResizeJob {
  const uint8_t* crop;  ///< its first pixel, 3 bytes each
  int64_t row_bytes;    ///< from one row of the source to the next
  int32_t crop_h, crop_w;
  ResizeWeights x, y;
  bool flip;
  uint8_t* column_block;  ///< scratch, kResizeBlockBytes for each column of the crop
  uint8_t* rows;          ///< scratch, 4 bytes a pixel: [input rows of the window, row_pixels(x.count)]
  uint8_t* result_row;    ///< scratch, 4 bytes a pixel: [row_pixels(x.count)]
  uint8_t* planes;        ///< result [3, y.count, x.count]
};
inline constexpr int64_t kResizeBlockBytes = 16;
/// Rows of 4-byte pixels are padded to whole vectors.
inline constexpr int64_t row_pixels(int64_t width) { return (width + 3) & ~int64_t{3}; }

struct ResizeTable {
  void (*fill_weights)(const ResizeWeights& axis);
  /// Weights are filled in when an axis changes its extent, and not looked at when it does not.
  void (*resize)(const ResizeJob& job);
};
const ResizeTable& augment_resize();

struct ColorTable {
  void (*brightness)(uint8_t* planes, int64_t pixels, float factor);
  void (*contrast)(uint8_t* planes, int64_t pixels, float factor, int32_t luma_rounding);
  void (*saturation)(uint8_t* planes, int64_t pixels, float factor, int32_t luma_rounding);
  void (*hue)(uint8_t* planes, int64_t pixels, int32_t shift);
  void (*gray)(uint8_t* planes, int64_t pixels, int32_t luma_rounding);
};
const ColorTable& augment_color();

struct BlurJob {
  uint8_t* planes;  ///< [3, h, w], in place
  int64_t h, w;
  int radius;
  const uint8_t* weights;  ///< [radius] by distance from the centre, in 1/256
  uint16_t* padded_row;    ///< scratch [w + 2 * radius]
  uint16_t* rows;          ///< scratch [h, w]
};

struct OutputTable {
  void (*blur)(const BlurJob& job);
  /// table [3, 256]: every byte of a channel, normalised.
  void (*fill_table_f32)(const float* mean, const float* std, float* table);
  void (*fill_table_bf16)(const float* mean, const float* std, bf16* table);
  /// out [pixels, 3] from planes, or from interleaved pixels.
  void (*planes_f32)(const uint8_t* planes, int64_t pixels, const float* table, float* out);
  void (*planes_bf16)(const uint8_t* planes, int64_t pixels, const bf16* table, bf16* out);
  void (*pixels_f32)(const uint8_t* image, int64_t pixels, const float* table, float* out);
  void (*pixels_bf16)(const uint8_t* image, int64_t pixels, const bf16* table, bf16* out);
};
const OutputTable& augment_output();

}  // namespace dcl::kernels
