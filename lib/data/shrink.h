// Images that are larger than anything will look at are shrunk when they are read, to the bytes of Pillow's resize.
#pragma once

#include <cstdint>

#include "data/decode.h"

namespace dcl {

/// The extent of torchvision's Resize(shorter_side): the other side in proportion, rounded down. An image whose shorter
/// side is not longer stays as it is, and so does every image for 0.
ImageSize shrunk_size(ImageSize size, int32_t shorter_side);

/// rgb of extent `from` to `out` of extent `to`, bilinear with antialiasing (math/pixel_resize.h).
void resize_rgb(const uint8_t* rgb, ImageSize from, ImageSize to, uint8_t* out);

}  // namespace dcl
