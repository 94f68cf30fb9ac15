#include "eigen/kernels/convolution.h"

#include "eigen/kernels/element.h"

namespace dcl::kernels::DCL_ISA {
namespace {

/// Walks the positions of a batch of grids in order.
struct Position {
  int64_t image, row, column;

  Position(const GatherGeometry& g, int64_t index)
      : image(index / (g.grid_h * g.grid_w)), row(index / g.grid_w % g.grid_h), column(index % g.grid_w) {}
  void advance(const GatherGeometry& g) {
    if (++column < g.grid_w) return;
    column = 0;
    if (++row < g.grid_h) return;
    row = 0;
    ++image;
  }
};

template <class T>
inline void copy_row(const T* from, int64_t count, float* to) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) to[c] = load(from[c]);
}

template <class T>
void gather(const GatherGeometry& g, const T* source, int64_t first, int64_t count, int64_t begin, int64_t end,
            float* rows) {
  Position at(g, first);
  for (int64_t p = 0; p < count; ++p, at.advance(g)) {
    const T* image = source + at.image * g.source_h * g.source_w * g.source_c;
    int64_t tap = begin / g.source_c, channel = begin % g.source_c;
    for (int64_t k = begin; k < end; ++tap, channel = 0) {
      const int64_t length = g.source_c - channel < end - k ? g.source_c - channel : end - k;
      const int64_t row = at.row * g.step + g.row_origin + tap / g.tap_columns * g.direction;
      const int64_t column = at.column * g.step + g.column_origin + tap % g.tap_columns * g.direction;
      if (row >= 0 && row < g.source_h && column >= 0 && column < g.source_w)
        copy_row(image + (row * g.source_w + column) * g.source_c + channel, length, rows);
      else
        for (int64_t c = 0; c < length; ++c) rows[c] = 0;
      rows += length;
      k += length;
    }
  }
}

template <bool kRelu, bool kAdd, class T>
inline void finish_row(const float* sum, const float* bias, const T* residual, int64_t columns, T* out) {
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) {
    float value = sum[c];
    if (bias) value += bias[c];
    if (residual) value += load(residual[c]);
    if (kRelu) value = value > 0 ? value : (value != value ? value : 0.0f);
    if (kAdd) value += load(out[c]);
    store(out + c, value);
  }
}

template <class T>
void scatter(const GatherGeometry& g, const float* tile, int64_t first, int64_t count, int64_t channel, int64_t columns,
             Epilogue<T> e, T* out) {
  const auto finish = e.relu ? (e.add ? &finish_row<true, true, T> : &finish_row<true, false, T>)
                             : (e.add ? &finish_row<false, true, T> : &finish_row<false, false, T>);
  const float* bias = e.bias ? e.bias + channel : nullptr;
  Position at(g, first);
  for (int64_t p = 0; p < count; ++p, at.advance(g)) {
    const int64_t row = at.row * g.out_step + g.out_row, column = at.column * g.out_step + g.out_column;
    const int64_t to = ((at.image * g.out_h + row) * g.out_w + column) * g.out_c + channel;
    finish(tile + p * columns, bias, e.residual ? e.residual + to : nullptr, columns, out + to);
  }
}

template <class T>
void widen(const T* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  for (int64_t row = 0; row < rows; ++row) copy_row(from + row * stride, columns, to + row * columns);
}

}  // namespace

extern const ConvolutionTable convolution_table;
const ConvolutionTable convolution_table = {{&gather<float>, &scatter<float>, &widen<float>},
                                            {&gather<bf16>, &scatter<bf16>, &widen<bf16>}};

}  // namespace dcl::kernels::DCL_ISA
