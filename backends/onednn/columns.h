// The windows of a convolution as rows of a matrix, columns [pixels, r s c], so that it is one matrix product. A
// pointwise convolution of stride 1 has x itself for columns; others gather them, some images at a time, and add
// gradients of them up where windows overlap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/ops.h"

namespace dcl::onednn {

constexpr int64_t kTileChannels = 16;  ///< at least, for a tile to be worth its products
constexpr int64_t kFewPixels = 64;     ///< of an image: for about as many, gathering pays for a window

/// Whether products of columns fill the tiles of this processor.
bool columns_fill_tiles(const ConvDesc& d);

class Columns {
 public:
  explicit Columns(const ConvDesc& d);

  bool gathers() const { return gathers_; }
  /// Of one product; divides the batch.
  int64_t images() const { return images_; }
  /// Rows of one product.
  int64_t pixels() const { return images_ * d_.out_h() * d_.out_w(); }
  int64_t width() const { return d_.r * d_.s * d_.c; }
  /// Of the room that of() gathers in.
  size_t bytes() const { return bytes_; }
  /// Those of images() images of x (bf16) from `first` on: a part of x, or gathered in `room`; zeros outside the image.
  const uint16_t* of(const void* x, int64_t first, void* room) const;
  /// dx (bf16) of images() images from `first` on, from the gradient of their columns, which it changes. Where windows
  /// overlap, sums are f32, in the order of the filter's taps, and rounded once.
  void fold(float* columns, int64_t first, void* dx, Accum accum) const;

 private:
  void fold_pixel(int64_t h, int64_t w, float* columns, uint16_t* dx, Accum accum) const;
  void gather(const uint16_t* x, int64_t first, uint16_t* to) const;

  ConvDesc d_;
  bool gathers_;
  int64_t images_;
  size_t bytes_ = 0;
};

}  // namespace dcl::onednn
