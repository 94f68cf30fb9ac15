// Crop and resize into planes. Several rows of the crop are widened to 4-byte pixels and interleaved, so that one
// vector holds one column of all of them; then both passes are broadcast-multiply-add over whole vectors.
#include "eigen/kernels/augment.h"
#include "eigen/kernels/bytes.h"
#include "math/pixel_resize.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr int kPixels = kInts / 4;  // 4-byte pixels in a vector
static_assert(kInts <= kResizeBlockBytes && row_pixels(1) % kPixels == 0);

/// One output of a pass: taps are `stride` bytes apart.
Ints filter(const uint8_t* from, int64_t stride, const int32_t* weights, int32_t taps) {
  Ints sum = Ints{} + kResizeHalf;
  for (int32_t k = 0; k < taps; ++k) sum += load_bytes(from + k * stride) * weights[k];
  const Ints value = sum >> kResizeBits;
  return value > 255 ? 255 : value;
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
        store_bytes(column, filter(from, kInts, job.x.weights + x * job.x.taps, job.x.used[x]));
      }
      for (int i = 0; i < rows; ++i) __builtin_memcpy(to + i * stride + 4 * x, column + 4 * i, 4);
    }
  }
}

/// One row of 4-byte pixels to row y of the planes.
void split_row(const ResizeJob& job, const uint8_t* row, int64_t y) {
  const int64_t w = job.x.count, pixels = w * job.y.count;
  uint8_t* __restrict r = job.planes + y * w;
  uint8_t* __restrict g = r + pixels;
  uint8_t* __restrict b = g + pixels;
  if (job.flip) {
    for (int64_t x = 0; x < w; ++x) {
      r[x] = row[4 * (w - 1 - x)];
      g[x] = row[4 * (w - 1 - x) + 1];
      b[x] = row[4 * (w - 1 - x) + 2];
    }
  } else {
    for (int64_t x = 0; x < w; ++x) {
      r[x] = row[4 * x];
      g[x] = row[4 * x + 1];
      b[x] = row[4 * x + 2];
    }
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
    for (int64_t x = 0; x < stride; x += kInts)
      store_bytes(job.result_row + x, filter(from + x, stride, job.y.weights + y * job.y.taps, job.y.used[y]));
    split_row(job, job.result_row, y);
  }
}

void fill_weights(const ResizeWeights& axis) {
  const ResizeAxis geometry = resize_axis(axis.in, axis.out);
  for (int32_t i = 0; i < axis.count; ++i) {
    const ResizeSpan span = resize_span(geometry, axis.begin + i);
    resize_weights(geometry, span, axis.weights + i * axis.taps);
    axis.first[i] = span.first;
    axis.used[i] = span.end - span.first;
  }
}

}  // namespace

extern const ResizeTable augment_resize_table = {fill_weights, resize};

}  // namespace dcl::kernels::DCL_ISA
