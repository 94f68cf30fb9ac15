#include "eigen/kernels/pooling.h"

#include "eigen/kernels/element.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr int64_t kBlock = 64;  // channels a time: the running values stay in registers or L1

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// One output pixel, channels [0, count): best value and its tap over the taps inside the image.
template <class T>
inline void max_of_window(const PoolGeometry& g, const T* x, int64_t top, int64_t left, int64_t count, float* best,
                          uint8_t* at) {
  bool first = true;
  for (int64_t r = 0; r < g.window; ++r) {
    for (int64_t s = 0; s < g.window; ++s) {
      const int64_t row = top + r, column = left + s;
      if (row < 0 || row >= g.h || column < 0 || column >= g.w) continue;
      const T* from = x + (row * g.w + column) * g.c;
      const uint8_t tap = static_cast<uint8_t>(r * g.window + s);
      if (first) {
        for (int64_t c = 0; c < count; ++c) best[c] = load(from[c]), at[c] = tap;
        first = false;
        continue;
      }
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const float value = load(from[c]);
        const bool wins = (value > best[c]) | ((value != value) & (best[c] == best[c]));
        best[c] = wins ? value : best[c];
        at[c] = wins ? tap : at[c];
      }
    }
  }
}

template <class T>
void max_forward(const PoolGeometry& g, const T* x, T* y, uint8_t* argmax) {
  float best[kBlock];
  uint8_t at[kBlock];
  for (int64_t i = 0; i < g.out_h; ++i)
    for (int64_t j = 0; j < g.out_w; ++j)
      for (int64_t begin = 0; begin < g.c; begin += kBlock) {
        const int64_t count = smaller(kBlock, g.c - begin), out = (i * g.out_w + j) * g.c + begin;
        max_of_window(g, x + begin, i * g.stride - g.pad, j * g.stride - g.pad, count, best, at);
        for (int64_t c = 0; c < count; ++c) store(y + out + c, best[c]), argmax[out + c] = at[c];
      }
}

/// First and last window (inclusive) along one axis that cover `position`.
struct Span {
  int64_t first, last;
};
inline Span windows_over(int64_t position, int64_t extent, const PoolGeometry& g) {
  const int64_t shifted = position + g.pad - g.window + 1;
  const int64_t first = shifted > 0 ? (shifted + g.stride - 1) / g.stride : 0;
  return {first, smaller((position + g.pad) / g.stride, extent - 1)};
}

template <class T>
void max_backward(const PoolGeometry& g, const T* dy, const uint8_t* argmax, T* dx) {
  float sum[kBlock];
  for (int64_t row = 0; row < g.h; ++row)
    for (int64_t column = 0; column < g.w; ++column) {
      const Span rows = windows_over(row, g.out_h, g), columns = windows_over(column, g.out_w, g);
      for (int64_t begin = 0; begin < g.c; begin += kBlock) {
        const int64_t count = smaller(kBlock, g.c - begin);
        for (int64_t c = 0; c < count; ++c) sum[c] = 0;
        for (int64_t i = rows.first; i <= rows.last; ++i)
          for (int64_t j = columns.first; j <= columns.last; ++j) {
            const int64_t out = (i * g.out_w + j) * g.c + begin;
            const int64_t tap = (row + g.pad - i * g.stride) * g.window + column + g.pad - j * g.stride;
#pragma omp simd
            for (int64_t c = 0; c < count; ++c) sum[c] += argmax[out + c] == tap ? load(dy[out + c]) : 0.0f;
          }
        T* to = dx + (row * g.w + column) * g.c + begin;
        for (int64_t c = 0; c < count; ++c) store(to + c, sum[c]);
      }
    }
}

template <class T>
void average_forward(const T* x, int64_t pixels, int64_t channels, float* y) {
  for (int64_t c = 0; c < channels; ++c) y[c] = 0;
  for (int64_t p = 0; p < pixels; ++p, x += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) y[c] += load(x[c]);
  }
  const float count = static_cast<float>(pixels);
  for (int64_t c = 0; c < channels; ++c) y[c] /= count;
}

template <class T>
void average_backward(const float* dy, int64_t pixels, int64_t channels, T* dx) {
  const float count = static_cast<float>(pixels);
  for (int64_t p = 0; p < pixels; ++p, dx += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) store(dx + c, dy[c] / count);
  }
}

}  // namespace

extern const PoolingTable pooling_table = {
    {&max_forward<float>, &max_backward<float>, &average_forward<float>, &average_backward<float>},
    {&max_forward<bf16>, &max_backward<bf16>, &average_forward<bf16>, &average_backward<bf16>}};

}  // namespace dcl::kernels::DCL_ISA
