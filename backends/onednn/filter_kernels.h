// Inner loops of the filter gradient (filter_gradient.h), for AVX-512 and AVX2.
//
// A panel holds one block of channels of many pixels: [step][lane] of 32-bit cells. In f32 a step is one pixel and a
// cell one value, and so in bf16 where the processor cannot multiply it; where it can, a step is two neighbouring
// pixels of a row and a cell holds the values of both, as VDPBF16PS wants them. Pixels that do not exist are zeros.
#pragma once

#include <cstdint>

namespace dcl::onednn {

/// One row of pixels to be packed: `count` output positions, position p reads pixel first + p * stride.
/// Only positions in [valid_begin, valid_end) exist.
struct RowSource {
  const void* row = nullptr;  ///< first channel wanted of pixel 0
  int64_t pixel_stride = 0;   ///< values between pixels
  int64_t first = 0, stride = 1, count = 0;
  int64_t valid_begin = 0, valid_end = 0;
  int64_t channels = 0;
};

/// Steps of two panels that belong together: images x rows x steps, strides in cells.
struct PanelWalk {
  int64_t images = 1, rows = 1, steps = 0;
  int64_t x_image = 0, x_row = 0, y_image = 0, y_row = 0;
};

/// Where the sums of a block go: a row per output channel, a column per input channel.
struct FilterTile {
  float* data = nullptr;
  int64_t row_stride = 0;
  int rows = 0, columns = 0;  ///< those that exist, at most y_lanes and x_lanes
  bool add = false;           ///< to what is there
};

/// Memory that will be read soon, brought into the second-level cache while a block is multiplied.
struct Prefetch {
  const char* begin = nullptr;
  const char* end = nullptr;
};

inline constexpr int kSpill = 8;  ///< see FilterKernels::pack_y

struct FilterKernels {
  int x_lanes, y_lanes;  ///< channels of a block of x and of dy
  int pixels_per_step;
  /// Writes the row into consecutive panels of x_lanes or y_lanes channels, panel_stride cells apart. Rows of a panel
  /// are written in ascending order: up to kSpill cells after the row may be overwritten.
  void (*pack_x)(const RowSource&, uint32_t* panels, int64_t panel_stride);
  void (*pack_y)(const RowSource&, uint32_t* panels, int64_t panel_stride);
  void (*multiply)(const PanelWalk&, const uint32_t* x, const uint32_t* y, const FilterTile&, const Prefetch&);
};

/// Null where the processor lacks the instructions.
const FilterKernels* filter_kernels(bool bf16);

}  // namespace dcl::onednn
