// Hue rotation as torchvision does it for PIL images: RGB -> 8-bit HSV -> RGB with Pillow's roundings
// (Convert.c). Pillow mixes float and double. The forms below use only operations that vectorise well (int32,
// float) and give the same bytes for all 2^24 colours and all shifts (tested against a transcription of Pillow):
//  * hue: `k / range` and `sector + k / range` round once to float, as in Pillow; the final truncation agrees.
//  * back: v * (1 - s * f) = v * (65025 - S * F) / 65025 with F = 6 H mod 255. The product is an integer below 2^24,
//    exact in float; it is never half-way between two bytes (65025 is odd), and the rounded quotient agrees.
#pragma once

#include "math/host_device.h"

namespace dcl {

struct Rgb {
  int32_t r, g, b;
};

/// round(value * (1 - saturation * part / 255 / 255)), value, saturation and part in 0..255.
DCL_HD int32_t hsv_darken(float value, float saturation, float part) {
  return static_cast<int32_t>(value * (65025.0f - saturation * part) * (1.0f / 65025.0f) + 0.5f);
}

/// The colour with its 8-bit hue turned by `shift` (mod 256).
DCL_HD Rgb shift_hue(Rgb c, int32_t shift) {
  const int32_t high_rg = c.r > c.g ? c.r : c.g, low_rg = c.r < c.g ? c.r : c.g;
  const int32_t value = high_rg > c.b ? high_rg : c.b, low = low_rg < c.b ? low_rg : c.b;
  const bool r_max = c.r == value, g_max = !r_max & (c.g == value);
  // Distances below the maximum of the two other channels, in the order that adds to and subtracts from the hue.
  const int32_t up = value - (r_max ? c.b : g_max ? c.r : c.g);
  const int32_t down = value - (r_max ? c.g : g_max ? c.b : c.r);
  const float sector = r_max ? 0.0f : g_max ? 2.0f : 4.0f;
  const int32_t range_or_zero = value - low;
  const float range = static_cast<float>(range_or_zero > 1 ? range_or_zero : 1);
  // One of the two distances is the whole range, so its quotient is 1.
  const float part = static_cast<float>(up < down ? up : down) / range;
  const float turn = (up < down ? sector - 1.0f + part : sector + 1.0f - part) / 6.0f;
  const int32_t hue = static_cast<int32_t>((turn < 0.0f ? turn + 1.0f : turn) * 255.0f);
  const float brightest = static_cast<float>(value > 1 ? value : 1);
  const int32_t saturation = static_cast<int32_t>(static_cast<float>(range_or_zero) / brightest * 255.0f);

  const int32_t turned = ((hue + shift) & 255) * 6;
  const int32_t sextant = (turned * 257 + 257) >> 16;  // turned / 255 for turned <= 1530
  const float fraction = static_cast<float>(turned - 255 * sextant);
  const float v = static_cast<float>(value), s = static_cast<float>(saturation);
  const int32_t p = hsv_darken(v, s, 255.0f), q = hsv_darken(v, s, fraction), t = hsv_darken(v, s, 255.0f - fraction);
  // Sextants 0..5 and 6, which is 0 again (hue 255).
  const int32_t r = sextant == 1 ? q : sextant == 4 ? t : ((sextant == 2) | (sextant == 3)) ? p : value;
  const int32_t g = ((sextant == 1) | (sextant == 2))   ? value
                    : sextant == 3                      ? q
                    : ((sextant == 4) | (sextant == 5)) ? p
                                                        : t;
  const int32_t b = sextant == 2 ? t : ((sextant == 3) | (sextant == 4)) ? value : sextant == 5 ? q : p;
  return {r, g, b};
}

}  // namespace dcl
