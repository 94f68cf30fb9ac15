// Inner loops of Winograd convolution F(m x m, 3x3) (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks",
// 2016), computed in f32: a tile of m x m outputs from a window of m + 2 x m + 2 inputs, with one product a channel for
// every place of the window instead of nine for every output. m is 2 (points 0, 1, -1, infinity) or 4 (also 2 and -2).
//
// For m = 4 filters are transformed three times as large as the paper's, so that every factor is a sum of powers of
// two, and results are divided by nine at the end: small integers stay exact.
//
// Transformed values lie at positions 0 .. (m + 2)^2 - 1, `position` floats apart; at each position there is a matrix.
#pragma once

#include <cstdint>

namespace dcl::kernels {

/// A square of pixels in f32 or bf16, of which those outside [row_begin, row_end) x [column_begin, column_end) are not
/// there: zeros when read, left alone when written. Byte: char or const char.
template <class Byte>
struct WinogradPixels {
  Byte* origin = nullptr;                    ///< pixel (0, 0), also where it is not there
  int64_t row_stride = 0, pixel_stride = 0;  ///< bytes
  int row_begin = 0, row_end = 0, column_begin = 0, column_end = 0;
  int64_t channels = 0;  ///< a multiple of columns_per_panel
  bool bf16 = false;
};

/// Nine taps of `outputs` x `inputs` filters: tap (r, s) of (output, input) at (3 r + s) tap + output * output_stride +
/// input * input_stride. A negative tap stride, from the last tap, turns the filter by 180 degrees.
struct WinogradFilter {
  const float* data = nullptr;
  int64_t tap = 0, output = 0, input = 0;
  int64_t inputs = 0;
};

/// c[rows][columns] (+)= sum over steps of a[step, row] b[step, column]; one of a_row and a_step is 1. b is cut into
/// panels of `columns_per_panel`.
struct WinogradProduct {
  int64_t rows = 0, columns = 0, steps = 0;
  const float* a = nullptr;
  int64_t a_row = 0, a_step = 0;
  const float* b = nullptr;
  int64_t b_panel = 0, b_step = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  bool add = false;
};

/// What happens to outputs before they are stored: y = act(sum [+ bias] [+ what is there] [+ residual]).
struct WinogradEpilogue {
  bool add = false;                ///< to what is there
  bool relu = false;               ///< not of NaN
  const float* bias = nullptr;     ///< of the first channel; null: none
  const char* residual = nullptr;  ///< at pixel (0, 0), laid out as the outputs; null: none
};

/// Sums of one row at every position, in parts.
struct WinogradSums {
  const float* data = nullptr;
  int64_t position = 0, part = 0, parts = 1;
};

/// For one m.
struct WinogradTransforms {
  int tile;  ///< m
  /// A window of inputs; `to` gets a row of channels at every position.
  void (*input)(const WinogradPixels<const char>&, float* to, int64_t position);
  /// One panel of output channels: [input][columns_per_panel] at every position.
  void (*filter)(const WinogradFilter&, float* to, int64_t position);
  /// A tile of outputs from sums.
  void (*inverse_output)(const float* from, int64_t position, const WinogradPixels<char>&, const WinogradEpilogue&);
  /// A tile of gradients of outputs.
  void (*gradient)(const WinogradPixels<const char>&, float* to, int64_t position);
  /// Filter gradients of consecutive input channels from sums in parts, added in their order; taps are `tap` floats
  /// apart.
  void (*inverse_filter)(const WinogradSums& from, float* to, int64_t tap, int64_t channels, bool add);

  int window() const { return tile + 2; }
  int positions() const { return window() * window(); }
};

struct WinogradTable {
  int columns_per_panel;
  WinogradTransforms tiles_of_2, tiles_of_4;
  void (*multiply)(const WinogradProduct&);
};

const WinogradTable& winograd();

}  // namespace dcl::kernels
