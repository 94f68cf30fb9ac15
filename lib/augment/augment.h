// Which views to take: parameters are drawn here, pixels are made by Backend::augment.
// Every number is a function of (seed, epoch, sample, view), so views do not depend on thread, worker or batch
// position.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "math/view_params.h"

namespace dcl {

/// Distribution of the training views; the defaults are those of the published code (utils.py,
/// train_transform). Probabilities in [0, 1].
struct AugmentSettings {
  int64_t size = 32;                                    ///< views are size x size pixels
  double scale_min = 0.08, scale_max = 1.0;             ///< crop area as a share of the image
  double ratio_min = 3.0 / 4.0, ratio_max = 4.0 / 3.0;  ///< crop width / height
  double flip_probability = 0.5;
  double jitter_probability = 0.8;
  /// Factor in [max(0, 1 - strength), 1 + strength]; strength 0 leaves the operator out.
  double brightness = 0.4, contrast = 0.4, saturation = 0.4;
  double hue = 0.1;  ///< turn in [-hue, hue], at most 0.5; 0 leaves the operator out
  double gray_probability = 0.2;
  double blur_probability = 0.5;
  double blur_sigma_min = 0.1, blur_sigma_max = 2.0;  ///< pixels of the view
  int blur_kernel = 0;  ///< taps, odd, at most 31; 0: a tenth of size as published, made odd (3 taps at size 32)
  LumaRule luma = LumaRule::pillow7;
  Normalization normalization;

  bool operator==(const AugmentSettings&) const = default;
};

/// Throws Error{usage} naming the setting that is out of range.
void check(const AugmentSettings& settings);

/// Colour jitter as SimCLR scales it (Chen et al., ICML 2020, appendix A): brightness, contrast and saturation 0.8 S,
/// hue 0.2 S. S = 0.5 are the published values; hue limits S to 2.5.
inline constexpr double kPublishedJitterStrength = 0.5, kMostJitterStrength = 2.5;
void set_jitter_strength(AugmentSettings& settings, double strength);

/// The normalisations that encoders were trained with: "published", "imagenet" (torchvision's weights), "half" (pixels
/// in [-1, 1]), "none" (in [0, 1]). Error{usage} for another name.
std::vector<std::string> normalization_names();
Normalization normalization_of(const std::string& name);
/// The name of one of these; "" of other values.
std::string name_of(const Normalization& normalization);

/// What Backend::augment needs besides the views.
AugmentDesc augment_desc(const AugmentSettings& settings);

/// One training view: RandomResizedCrop, flip, colour jitter in random order, gray, Gaussian blur. `settings` has
/// passed check(). Changing one setting leaves the draws of the other operators as they were.
ViewParams draw_view(const AugmentSettings& settings, const PooledImage& image, uint64_t seed, uint32_t epoch,
                     uint32_t sample, uint16_t view);

/// The deterministic view for evaluation. An image of size x size is taken as it is (the published test transform). Any
/// other is treated as torchvision's Resize(size) and CenterCrop(size): the shorter side is resized to `size`, the
/// longer in proportion (truncated), and the centre is cut out. size 0: the image as it is, whatever its extent.
/// Backend::augment needs a descriptor with the same extent.
ViewParams evaluation_view(const PooledImage& image, int64_t size);

/// Fills blur_radius and blur_weights as cv2.GaussianBlur does for 8-bit images: kernel odd, 1..31 (1: no blur), sigma
/// > 0.
void set_gaussian_blur(ViewParams& view, int kernel, double sigma);

/// ViewParams::hue_shift of a hue factor in [-0.5, 0.5], as torchvision's adjust_hue for PIL images.
int32_t hue_shift_of(double factor);

}  // namespace dcl
