// Crop and resize into planes. Several rows of the crop are widened to 4-byte pixels and interleaved, so that one
// vector holds one column of all of them; then both passes are broadcast-multiply-add over whole vectors.
#include "eigen/kernels/augment.h"
#include "eigen/kernels/vector.h"
#include "math/pixel_resize.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr int kInts = kLanes<float>;  // in a vector
constexpr int kPixels = kInts / 4;    // 4-byte pixels in a vector
typedef int32_t Ints __attribute__((vector_size(4 * kInts)));
typedef uint8_t Bytes __attribute__((vector_size(kInts)));
static_assert(kInts <= kResizeBlockBytes && row_pixels(1) % kPixels == 0);

Ints widen(const uint8_t* from) {
  Bytes bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Ints);
}

/// One output of a pass: taps are `stride` bytes apart.
Bytes filter(const uint8_t* from, int64_t stride, const int32_t* weights, int32_t taps) {
  Ints sum = Ints{} + kResizeHalf;
  for (int32_t k = 0; k < taps; ++k) sum += widen(from + k * stride) * weights[k];
  const Ints value = sum >> kResizeBits;
  return __builtin_convertvector(value > 255 ? 255 : value, Bytes);
}

/// kPixels rows of the crop from `row` on, interleaved by column (the last row repeated): block[x][row] = r, g, b, any.
void interleave_rows(const ResizeJob& job, int32_t row) {
  uint8_t* block = job.column_block;
  for (int i = 0; i < kPixels; ++i) {
    const int32_t y = row + i < job.crop_h ? row + i : job.crop_h - 1;
    const uint8_t* from = job.crop + y * job.row_bytes;
    uint8_t* to = block + 4 * i;
    for (int32_t x = 0; x + 1 < job.crop_w; ++x) __builtin_memcpy(to + x * kInts, from + 3 * x, 4);
    // The byte after the last pixel may lie outside the pool.
    const int32_t last = job.crop_w - 1;
    __builtin_memcpy(to + last * kInts, from + 3 * last, 3);
    to[last * kInts + 3] = 0;
  }
}

/// Rows [begin, end) of the crop through the horizontal pass into job.rows.
void horizontal_pass(const ResizeJob& job, int32_t begin, int32_t end) {
  const int64_t stride = 4 * row_pixels(job.x.count);
  const bool copy = job.x.in == job.x.out;
  for (int32_t row = begin; row < end; row += kPixels) {
    interleave_rows(job, row);
    uint8_t* to = job.rows + (row - begin) * stride;
    const int rows = end - row < kPixels ? end - row : kPixels;
    for (int32_t x = 0; x < job.x.count; ++x) {
      uint8_t column[kInts];
      const uint8_t* from = job.column_block + (copy ? job.x.begin + x : job.x.first[x]) * kInts;
      if (copy) {
        __builtin_memcpy(column, from, kInts);
      } else {
        const Bytes result = filter(from, kInts, job.x.weights + x * job.x.taps, job.x.used[x]);
        __builtin_memcpy(column, &result, kInts);
      }
      for (int i = 0; i < rows; ++i) __builtin_memcpy(to + i * stride + 4 * x, column + 4 * i, 4);
    }
  }
}

/// One row of 4-byte pixels to row y of the planes.
void split_row(const ResizeJob& job, const uint8_t* row, int64_t y) {
  const int64_t w = job.x.count, pixels = w * job.y.count;
  uint8_t* r = job.planes + y * w;
  uint8_t* g = r + pixels;
  uint8_t* b = g + pixels;
  const int64_t step = job.flip ? -4 : 4;
  const uint8_t* from = job.flip ? row + 4 * (w - 1) : row;
  for (int64_t x = 0; x < w; ++x) {
    r[x] = from[x * step];
    g[x] = from[x * step + 1];
    b[x] = from[x * step + 2];
  }
}

void resize(const ResizeJob& job) {
  const int64_t h = job.y.count, stride = 4 * row_pixels(job.x.count);
  const bool copy = job.y.in == job.y.out;
  const int32_t begin = copy ? job.y.begin : job.y.first[0];
  const int32_t end = copy ? job.y.begin + job.y.count : job.y.first[h - 1] + job.y.used[h - 1];
  horizontal_pass(job, begin, end);
  for (int64_t y = 0; y < h; ++y) {
    if (copy) {
      split_row(job, job.rows + y * stride, y);
      continue;
    }
    const uint8_t* from = job.rows + (job.y.first[y] - begin) * stride;
    for (int64_t x = 0; x < stride; x += kInts) {
      const Bytes pixels = filter(from + x, stride, job.y.weights + y * job.y.taps, job.y.used[y]);
      __builtin_memcpy(job.result_row + x, &pixels, kInts);
    }
    split_row(job, job.result_row, y);
  }
}

void fill_weights(const ResizeWeights& axis) {
  const ResizeAxis geometry = resize_axis(axis.in, axis.out);
  for (int32_t i = 0; i < axis.count; ++i) {
    const ResizeSpan span = resize_span(geometry, axis.begin + i);
    double sum = 0.0;
    for (int32_t at = span.first; at < span.end; ++at) sum += resize_raw_weight(geometry, span, at);
    int32_t* weights = axis.weights + i * axis.taps;
    for (int32_t at = span.first; at < span.end; ++at)
      *weights++ = resize_fixed_weight(resize_raw_weight(geometry, span, at), sum);
    axis.first[i] = span.first;
    axis.used[i] = span.end - span.first;
  }
}

}  // namespace

extern const ResizeTable augment_resize_table = {fill_weights, resize};

}  // namespace dcl::kernels::DCL_ISA
