// cv2.GaussianBlur on 8-bit images: separable, weights in 1/256 that add up to 256, one rounding at the end
// (OpenCV, smooth.dispatch.cpp). A horizontal result is at most 255 * 256 and fits 16 bits; border REFLECT_101.
#pragma once

#include <cstdint>

#include "math/host_device.h"

namespace dcl {

/// Mirrors an index that left [0, extent) without repeating the border: -1 -> 1, extent -> extent - 2.
DCL_HD int64_t reflect_101(int64_t index, int64_t extent) {
  if (extent == 1) return 0;
  while (index < 0 || index >= extent) index = index < 0 ? -index : 2 * extent - 2 - index;
  return index;
}

/// After both passes: rounds from 1/65536 to a byte.
DCL_HD int32_t blur_round(int32_t accumulated) { return (accumulated + 0x8000) >> 16; }

}  // namespace dcl
