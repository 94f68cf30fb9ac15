#include "augment/augment.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "math/philox.h"

namespace dcl {
namespace {

constexpr std::pair<std::string_view, Normalization> kNormalizations[] = {
    {"published", {}},
    {"imagenet", {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}},
    {"half", {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}}},
    {"none", {{0, 0, 0}, {1, 1, 1}}},
};

void require(bool holds, const char* setting, const char* expected) {
  if (!holds) fail(ErrorKind::usage, std::string("augmentation setting ") + setting + " must be " + expected);
}

void require_probability(double value, const char* setting) {
  require(value >= 0 && value <= 1, setting, "between 0 and 1");
}

int blur_kernel_of(const AugmentSettings& settings) {
  if (settings.blur_kernel) return settings.blur_kernel;
  return std::min(static_cast<int>(0.1 * static_cast<double>(settings.size)) | 1, 2 * kMaxBlurRadius + 1);
}

/// Half to even, as Python's round().
int32_t round_to_int(double value) { return static_cast<int32_t>(std::nearbyint(value)); }

void set_crop(ViewParams& view, int32_t h, int32_t w, int32_t y, int32_t x) {
  view.crop_h = h;
  view.crop_w = w;
  view.crop_y = y;
  view.crop_x = x;
}

/// torchvision's RandomResizedCrop: ten attempts, then the largest centre crop with an allowed ratio.
void draw_crop(const AugmentSettings& settings, RandomStream& stream, ViewParams& view) {
  const double area = static_cast<double>(view.image_h) * view.image_w;
  const double log_min = std::log(settings.ratio_min), log_max = std::log(settings.ratio_max);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = stream.uniform(settings.scale_min, settings.scale_max) * area;
    const double ratio = std::exp(stream.uniform(log_min, log_max));
    const int32_t w = round_to_int(std::sqrt(target * ratio)), h = round_to_int(std::sqrt(target / ratio));
    if (w <= 0 || h <= 0 || w > view.image_w || h > view.image_h) continue;
    const auto y = static_cast<int32_t>(stream.below(static_cast<uint64_t>(view.image_h - h) + 1));
    const auto x = static_cast<int32_t>(stream.below(static_cast<uint64_t>(view.image_w - w) + 1));
    return set_crop(view, h, w, y, x);
  }
  const double ratio = static_cast<double>(view.image_w) / view.image_h;
  int32_t w = view.image_w, h = view.image_h;
  if (ratio < settings.ratio_min) h = std::clamp(round_to_int(w / settings.ratio_min), 1, h);
  if (ratio > settings.ratio_max) w = std::clamp(round_to_int(h * settings.ratio_max), 1, w);
  set_crop(view, h, w, (view.image_h - h) / 2, (view.image_w - w) / 2);
}

/// The operators that are in use, in uniformly random order.
void draw_jitter(const AugmentSettings& settings, RandomStream& stream, ViewParams& view) {
  const bool wanted = stream.uniform() < settings.jitter_probability;
  JitterOp order[kJitterOps] = {JitterOp::brightness, JitterOp::contrast, JitterOp::saturation, JitterOp::hue};
  for (int i = kJitterOps - 1; i > 0; --i) std::swap(order[i], order[stream.below(static_cast<uint64_t>(i) + 1)]);
  const auto factor = [&](double strength) {
    return static_cast<float>(stream.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength));
  };
  view.brightness = factor(settings.brightness);
  view.contrast = factor(settings.contrast);
  view.saturation = factor(settings.saturation);
  view.hue_shift = hue_shift_of(stream.uniform(-settings.hue, settings.hue));
  const double strengths[kJitterOps] = {settings.brightness, settings.contrast, settings.saturation, settings.hue};
  for (const JitterOp which : order)
    if (wanted && strengths[static_cast<int>(which)] > 0) view.jitter_order[view.jitter_count++] = which;
}

}  // namespace

void check(const AugmentSettings& s) {
  require(s.size >= 1 && s.size <= 4096, "size", "between 1 and 4096");
  require(s.scale_min > 0 && s.scale_min <= s.scale_max && s.scale_max <= 1, "scale", "a range inside (0, 1]");
  require(s.ratio_min > 0 && s.ratio_min <= s.ratio_max && s.ratio_max <= 1000, "ratio", "a range inside (0, 1000]");
  require_probability(s.flip_probability, "flip probability");
  require_probability(s.jitter_probability, "jitter probability");
  require(s.brightness >= 0 && s.brightness <= 100, "brightness", "between 0 and 100");
  require(s.contrast >= 0 && s.contrast <= 100, "contrast", "between 0 and 100");
  require(s.saturation >= 0 && s.saturation <= 100, "saturation", "between 0 and 100");
  require(s.hue >= 0 && s.hue <= 0.5, "hue", "between 0 and 0.5");
  require_probability(s.gray_probability, "gray probability");
  require_probability(s.blur_probability, "blur probability");
  require(s.blur_sigma_min > 0 && s.blur_sigma_min <= s.blur_sigma_max && s.blur_sigma_max <= 1000, "blur sigma",
          "a range inside (0, 1000]");
  require(
      s.blur_kernel == 0 || (s.blur_kernel % 2 == 1 && s.blur_kernel > 0 && s.blur_kernel <= 2 * kMaxBlurRadius + 1),
      "blur kernel", "odd and at most 31, or 0 for a tenth of the size");
  for (int c = 0; c < 3; ++c) require(std::isfinite(s.normalization.mean[c]), "mean", "finite");
  for (int c = 0; c < 3; ++c)
    require(std::isfinite(s.normalization.std[c]) && s.normalization.std[c] > 0, "std", "positive");
}

std::vector<std::string> normalization_names() {
  std::vector<std::string> names;
  for (const auto& [name, values] : kNormalizations) names.emplace_back(name);
  return names;
}

Normalization normalization_of(const std::string& name) {
  for (const auto& [known, values] : kNormalizations)
    if (known == name) return values;
  fail(ErrorKind::usage, "unknown normalization '" + name + "': expected published, imagenet, half or none");
}

std::string name_of(const Normalization& normalization) {
  for (const auto& [name, values] : kNormalizations)
    if (values == normalization) return std::string(name);
  return "";
}

void set_jitter_strength(AugmentSettings& settings, double strength) {
  settings.brightness = settings.contrast = settings.saturation = 0.8 * strength;
  settings.hue = 0.2 * strength;
}

AugmentDesc augment_desc(const AugmentSettings& settings) {
  AugmentDesc desc;
  desc.h = desc.w = settings.size;
  desc.luma = settings.luma;
  desc.normalization = settings.normalization;
  return desc;
}

ViewParams draw_view(const AugmentSettings& settings, const PooledImage& image, uint64_t seed, uint32_t epoch,
                     uint32_t sample, uint16_t view_index) {
  RandomStream stream(seed, RandomPurpose::augment, epoch, sample, view_index);
  ViewParams view;
  view.image_offset = image.offset;
  view.image_h = image.h;
  view.image_w = image.w;
  // Everything is drawn whether used or not, and the crop (whose number of draws varies) last.
  view.flip = stream.uniform() < settings.flip_probability;
  draw_jitter(settings, stream, view);
  view.gray = stream.uniform() < settings.gray_probability;
  const bool blur = stream.uniform() < settings.blur_probability;
  const double sigma = stream.uniform(settings.blur_sigma_min, settings.blur_sigma_max);
  if (blur) set_gaussian_blur(view, blur_kernel_of(settings), sigma);
  draw_crop(settings, stream, view);
  return view;
}

ViewParams evaluation_view(const PooledImage& image, int64_t size) {
  ViewParams view;
  view.image_offset = image.offset;
  view.image_h = image.h;
  view.image_w = image.w;
  set_crop(view, image.h, image.w, 0, 0);
  if (size == 0) return view;
  const double shorter = std::min(image.h, image.w);
  const auto extent = [&](int32_t side) {
    return side == std::min(image.h, image.w) ? static_cast<int32_t>(size)
                                              : static_cast<int32_t>(static_cast<double>(size * side) / shorter);
  };
  view.resize_h = extent(image.h);
  view.resize_w = extent(image.w);
  view.window_y = round_to_int(static_cast<double>(view.resize_h - size) / 2);
  view.window_x = round_to_int(static_cast<double>(view.resize_w - size) / 2);
  return view;
}

void set_gaussian_blur(ViewParams& view, int kernel, double sigma) {
  const int radius = kernel / 2;
  if (kernel % 2 != 1 || kernel < 1 || radius > kMaxBlurRadius || !(sigma > 0))
    fail(ErrorKind::internal, "Gaussian kernel must be odd, 1..31, and sigma positive");
  double value[kMaxBlurRadius + 1], sum = 0;
  for (int distance = radius; distance > 0; --distance) {
    const int x = 2 * distance;
    value[distance] = std::exp(x * x * (-0.125 / (sigma * sigma)));
    sum += value[distance];
  }
  const double scale = 1.0 / (2 * sum + 1.0);
  // Rounding errors are carried inwards, from the outermost tap to the centre.
  double error = 0;
  for (int distance = radius; distance > 0; --distance) {
    const double exact = value[distance] * scale * 256.0 + error;
    const double rounded = std::nearbyint(exact);
    error = exact - rounded;
    view.blur_weights[distance - 1] = static_cast<uint8_t>(rounded);
  }
  view.blur_radius = static_cast<uint8_t>(radius);
}

int32_t hue_shift_of(double factor) { return static_cast<int32_t>(factor * 255.0); }

}  // namespace dcl
