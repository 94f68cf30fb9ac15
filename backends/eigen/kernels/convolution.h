// The data movement of convolutions around the packed matrix product: rows of source pixels gathered under the filter
// ("im2col" of a few positions, converted to f32), and tiles of results scattered with everything that follows the sum.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace dcl::kernels {

/// The dense product hidden in a convolution. Position p = (image, i, j) of a grid sees, under tap (a, b), the source
/// pixel (i * step + row_origin + a * direction, j * step + column_origin + b * direction), zeros outside; its inner
/// axis is [tap_rows, tap_columns, source_c]. Its result goes to pixel (i * out_step + out_row, j * out_step +
/// out_column). Forward: source x, one grid. Backward data: source dy, one grid per residue of the stride, taps in
/// reverse.
struct GatherGeometry {
  int64_t source_h, source_w, source_c;
  int64_t grid_h, grid_w;
  int64_t tap_rows, tap_columns, row_origin, column_origin, step, direction;
  int64_t out_h, out_w, out_c, out_row, out_column, out_step;

  int64_t depth() const { return tap_rows * tap_columns * source_c; }
};

/// What happens to a sum before it is stored; null pointers and false leave a step out.
/// out = [relu](sum [+ bias] [+ residual]) [+ out]; one rounding to the storage type.
template <class T>
struct Epilogue {
  const float* bias = nullptr;  ///< by channel
  const T* residual = nullptr;  ///< same shape as out; may be out
  bool relu = false;
  bool add = false;
};

template <class T>
struct ConvolutionKernels {
  /// rows [count, end - begin] = entries [begin, end) of the inner axis for the positions from `first` on.
  void (*gather)(const GatherGeometry& g, const T* source, int64_t first, int64_t count, int64_t begin, int64_t end,
                 float* rows);
  /// tile [count, columns] holds the sums of channels [channel, channel + columns) of the positions from `first` on.
  void (*scatter)(const GatherGeometry& g, const float* tile, int64_t first, int64_t count, int64_t channel,
                  int64_t columns, Epilogue<T> epilogue, T* out);
  /// to = from as f32, [rows, columns] out of a matrix with row stride `stride`.
  void (*widen)(const T* from, int64_t stride, int64_t rows, int64_t columns, float* to);
};

struct ConvolutionTable {
  ConvolutionKernels<float> f32;
  ConvolutionKernels<bf16> bf16_;
};
const ConvolutionTable& convolution();

}  // namespace dcl::kernels
