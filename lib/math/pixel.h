// Per-pixel arithmetic of the augmentations on 8-bit values held in int32: the operators of Pillow
// (Blend.c, Convert.c) and torchvision's normalisation. Bits are promised: compile without contraction of multiply and
// add.
#pragma once

#include <cstdint>

#include "math/host_device.h"
#include "math/view_params.h"

namespace dcl {

/// What luma() adds before the shift.
DCL_HD int32_t luma_rounding(LumaRule rule) { return rule == LumaRule::pillow7 ? 0x8000 : 0; }

/// convert("L"): ITU-R 601 weights in 1/65536.
DCL_HD int32_t luma(int32_t r, int32_t g, int32_t b, int32_t rounding) {
  return (19595 * r + 38470 * g + 7471 * b + rounding) >> 16;
}

/// ImagingBlend of one channel: from `degenerate` (factor 0) through `value` (factor 1) and beyond, clipped, truncated.
/// Pillow copies at 0 and 1, which is what the formula gives there.
DCL_HD int32_t blend(int32_t degenerate, int32_t value, float factor) {
  const float scaled = factor * static_cast<float>(value - degenerate);
  const float mixed = static_cast<float>(degenerate) + scaled;
  const float low = mixed > 0.0f ? mixed : 0.0f;
  return static_cast<int32_t>(low < 255.0f ? low : 255.0f);
}

/// The gray level that ImageEnhance.Contrast blends with, from the sum of luma over `pixels`.
DCL_HD int32_t contrast_level(int64_t luma_sum, int64_t pixels) {
  return static_cast<int32_t>(static_cast<double>(luma_sum) / static_cast<double>(pixels) + 0.5);
}

/// ToTensor and Normalize: three rounded f32 operations.
DCL_HD float normalize(int32_t value, float mean, float std) {
  const float unit = static_cast<float>(value) / 255.0f;
  return (unit - mean) / std;
}

}  // namespace dcl
