// The drawn parameters of one augmented view: what the augment op needs besides pixels (SEMANTICS 2.2-10, 2.3).
#pragma once

#include <cstdint>

namespace dcl {

enum class LumaRule : uint8_t { pillow7, pillow6 };  ///< rounding of RGB -> L: half up, or truncated (Pillow <= 6.2.2)

struct ViewParams {
  int64_t image_offset = 0;             ///< of the source image in the uint8 pool, bytes; the image is HWC, 3 channels
  int32_t image_h = 0, image_w = 0;     ///< source extent, pixels
  int32_t crop_y = 0, crop_x = 0, crop_h = 0, crop_w = 0;
  bool flip = false;
  bool jitter = false;
  uint8_t jitter_order[4] = {0, 1, 2, 3};  ///< 0 brightness, 1 contrast, 2 saturation, 3 hue
  float brightness = 1, contrast = 1, saturation = 1;
  int32_t hue_shift = 0;                ///< (int)(255 * hue), truncated toward zero
  bool gray = false;
  int32_t blur_side_weight = -1;        ///< side weight of the 3-tap kernel in 1/256 (SEMANTICS 2.3-7); -1: no blur
};

/// Settings shared by all views of a call.
struct AugmentDesc {
  int64_t size = 32;  ///< output is size x size
  LumaRule luma = LumaRule::pillow7;
  float mean[3] = {0.4914f, 0.4822f, 0.4465f};
  float std[3] = {0.2023f, 0.1994f, 0.2010f};
};

}  // namespace dcl
