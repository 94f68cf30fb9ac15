// bf16 on processors that have no instructions to multiply it: convolutions are computed in f32, and activations
// widened and rounded piece by piece, while a piece lies in the cache. They keep half the memory of f32 at the speed of
// f32.
#pragma once

#include "core/ops.h"
#include "onednn/compat.h"

namespace dcl::onednn {

/// `d` as it is computed: itself, or in f32 (multiplies_bf16()).
ConvDesc computed(ConvDesc d);

/// x or y of the pieces of a convolution (NHWC), as computed(d) wants it: the caller's own memory, or an f32 copy of
/// the piece in `room` (bytes() of it, one for each piece in work).
class PieceSide {
 public:
  /// images: of the largest piece.
  PieceSide(const ConvDesc& d, bool of_y, int64_t images);

  size_t bytes() const { return bytes_; }
  /// Images from `first` on, to be read.
  const void* read(const void* data, int64_t first, int64_t images, void* room) const;
  /// Where images from `first` on are to be computed; store() must follow.
  void* target(void* data, int64_t first, void* room) const;
  void store(void* data, int64_t first, int64_t images, const void* room) const;

 private:
  bool widened_;
  int64_t image_values_;
  size_t image_bytes_, bytes_;
};

}  // namespace dcl::onednn
