#include "data/shrink.h"

#include <algorithm>
#include <vector>

#include "math/pixel_resize.h"

namespace dcl {
namespace {

constexpr int64_t kChannels = 3;

/// Of one axis, for every output.
class Weights {
 public:
  Weights(int32_t in, int32_t out) {
    const ResizeAxis axis = resize_axis(in, out);
    taps_ = resize_max_taps(axis);
    fixed_.resize(static_cast<size_t>(out) * static_cast<size_t>(taps_));
    for (int32_t index = 0; index < out; ++index) {
      spans_.push_back(resize_span(axis, index));
      resize_weights(axis, spans_.back(), fixed_.data() + int64_t{index} * taps_);
    }
  }

  int32_t first(int32_t index) const { return spans_[static_cast<size_t>(index)].first; }
  int32_t count(int32_t index) const { return spans_[static_cast<size_t>(index)].end - first(index); }
  const int32_t* fixed(int32_t index) const { return fixed_.data() + int64_t{index} * taps_; }

 private:
  int32_t taps_;
  std::vector<ResizeSpan> spans_;
  std::vector<int32_t> fixed_;
};

void resize_row(const uint8_t* in, const Weights& weights, int32_t width, uint8_t* out) {
  for (int32_t x = 0; x < width; ++x, out += kChannels) {
    const uint8_t* pixel = in + kChannels * weights.first(x);
    const int32_t* fixed = weights.fixed(x);
    int32_t r = kResizeHalf, g = kResizeHalf, b = kResizeHalf;
    for (int32_t k = 0; k < weights.count(x); ++k, pixel += kChannels) {
      r += fixed[k] * pixel[0];
      g += fixed[k] * pixel[1];
      b += fixed[k] * pixel[2];
    }
    out[0] = static_cast<uint8_t>(resize_round(r));
    out[1] = static_cast<uint8_t>(resize_round(g));
    out[2] = static_cast<uint8_t>(resize_round(b));
  }
}

/// One row of the output from rows of `row_bytes` below each other. sums: scratch of as many.
void resize_column(const uint8_t* first_row, int64_t row_bytes, const int32_t* fixed, int32_t count, int32_t* sums,
                   uint8_t* out) {
  std::fill_n(sums, row_bytes, kResizeHalf);
  for (int32_t k = 0; k < count; ++k, first_row += row_bytes)
    for (int64_t i = 0; i < row_bytes; ++i) sums[i] += fixed[k] * first_row[i];
  for (int64_t i = 0; i < row_bytes; ++i) out[i] = static_cast<uint8_t>(resize_round(sums[i]));
}

}  // namespace

ImageSize shrunk_size(ImageSize size, int32_t shorter_side) {
  const int64_t shorter = std::min(size.height, size.width);
  if (shorter_side <= 0 || shorter <= shorter_side) return size;
  const auto side = [&](int32_t extent) { return static_cast<int32_t>(int64_t{shorter_side} * extent / shorter); };
  return {side(size.height), side(size.width)};
}

void resize_rgb(const uint8_t* rgb, ImageSize from, ImageSize to, uint8_t* out) {
  const int64_t row_bytes = kChannels * to.width;
  std::vector<uint8_t> narrowed;
  if (to.width != from.width) {
    narrowed.resize(static_cast<size_t>(row_bytes * from.height));
    const Weights weights(from.width, to.width);
    for (int64_t y = 0; y < from.height; ++y)
      resize_row(rgb + y * kChannels * from.width, weights, to.width, narrowed.data() + y * row_bytes);
    rgb = narrowed.data();
  }
  if (to.height == from.height) {
    std::copy_n(rgb, row_bytes * to.height, out);
    return;
  }
  const Weights weights(from.height, to.height);
  std::vector<int32_t> sums(static_cast<size_t>(row_bytes));
  for (int32_t y = 0; y < to.height; ++y)
    resize_column(rgb + weights.first(y) * row_bytes, row_bytes, weights.fixed(y), weights.count(y), sums.data(),
                  out + y * row_bytes);
}

}  // namespace dcl
