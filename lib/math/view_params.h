// The drawn parameters of one augmented view: what the augment op needs besides pixels.
// Order of the steps: crop, resize, window, flip, jitter, gray, blur, normalise.
#pragma once

#include <cstdint>

namespace dcl {

enum class LumaRule : uint8_t { pillow7, pillow6 };  ///< rounding of RGB -> L: half up, or truncated (Pillow <= 6.2.2)

enum class JitterOp : uint8_t { brightness, contrast, saturation, hue };
inline constexpr int kJitterOps = 4;

/// The largest Gaussian kernel has 2 * 15 + 1 taps.
inline constexpr int kMaxBlurRadius = 15;

/// Where an image lies in the uint8 pool; HWC, 3 channels.
struct PooledImage {
  int64_t offset = 0;  ///< bytes
  int32_t h = 0, w = 0;

  bool operator==(const PooledImage&) const = default;
};

struct ViewParams {
  int64_t image_offset = 0;          ///< of the source image in the uint8 pool, bytes; the image is HWC, 3 channels
  int32_t image_h = 0, image_w = 0;  ///< source extent, pixels
  int32_t crop_y = 0, crop_x = 0, crop_h = 0, crop_w = 0;
  int32_t resize_h = 0, resize_w = 0;  ///< the crop is resized to this extent; 0: to that of AugmentDesc
  int32_t window_y = 0, window_x = 0;  ///< corner of the output inside the resized crop
  bool flip = false;                   ///< left to right
  uint8_t jitter_count = 0;            ///< how many entries of jitter_order are applied; 0: no jitter
  JitterOp jitter_order[kJitterOps] = {JitterOp::brightness, JitterOp::contrast, JitterOp::saturation, JitterOp::hue};
  float brightness = 1, contrast = 1, saturation = 1;  ///< not negative
  int32_t hue_shift = 0;                               ///< (int)(255 * hue factor), truncated toward zero
  bool gray = false;
  uint8_t blur_radius = 0;  ///< 0: no blur; else the kernel has 2 * blur_radius + 1 taps
  uint8_t blur_weights[kMaxBlurRadius] =
      {};  ///< in 1/256, by distance 1, 2, ... from the centre, which has the rest of 256

  bool operator==(const ViewParams&) const = default;
};

/// How pixels become numbers, by channel (RGB): (pixel / 255 - mean) / std. The defaults are CIFAR-10's, as published.
struct Normalization {
  float mean[3] = {0.4914f, 0.4822f, 0.4465f};
  float std[3] = {0.2023f, 0.1994f, 0.2010f};

  bool operator==(const Normalization&) const = default;
};

/// Settings shared by all views of a call.
struct AugmentDesc {
  int64_t h = 32, w = 32;  ///< extent of the output
  LumaRule luma = LumaRule::pillow7;
  Normalization normalization;

  bool operator==(const AugmentDesc&) const = default;
};

}  // namespace dcl
