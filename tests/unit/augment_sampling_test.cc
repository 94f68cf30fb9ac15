// Distribution of the drawn views, their independence from order, and the evaluation view.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "augment/augment.h"
#include "core/error.h"

namespace dcl {
namespace {

constexpr PooledImage kImage{0, 96, 96};

std::vector<ViewParams> draw_many(const AugmentSettings& settings, const PooledImage& image, uint32_t count) {
  std::vector<ViewParams> views;
  for (uint32_t sample = 0; sample < count; ++sample) views.push_back(draw_view(settings, image, 3, 1, sample, 0));
  return views;
}

/// Share of views for which `holds`, with four standard errors of a share of `expected`.
template <class Predicate>
void expect_share(const std::vector<ViewParams>& views, double expected, Predicate holds) {
  double share = 0;
  for (const ViewParams& view : views) share += holds(view);
  share /= static_cast<double>(views.size());
  const double error = std::sqrt(expected * (1 - expected) / static_cast<double>(views.size()));
  EXPECT_NEAR(share, expected, 4 * error);
}

/// Mean and range of a number said to be uniform in [low, high].
template <class Value>
void expect_uniform(const std::vector<ViewParams>& views, double low, double high, Value value) {
  double sum = 0, smallest = INFINITY, largest = -INFINITY;
  for (const ViewParams& view : views) {
    const double x = value(view);
    sum += x;
    smallest = std::min(smallest, x);
    largest = std::max(largest, x);
  }
  const double count = static_cast<double>(views.size()), width = high - low;
  EXPECT_NEAR(sum / count, (low + high) / 2, 4 * width / std::sqrt(12 * count));
  EXPECT_GE(smallest, low - 1e-6);
  EXPECT_LE(largest, high + 1e-6);
  EXPECT_LT(smallest, low + 20 * width / count);
  EXPECT_GT(largest, high - 20 * width / count);
}

TEST(AugmentSampling, PublishedProbabilities) {
  const auto views = draw_many({}, kImage, 20000);
  expect_share(views, 0.5, [](const ViewParams& v) { return v.flip; });
  expect_share(views, 0.8, [](const ViewParams& v) { return v.jitter_count == kJitterOps; });
  expect_share(views, 0.2, [](const ViewParams& v) { return v.jitter_count == 0; });
  expect_share(views, 0.2, [](const ViewParams& v) { return v.gray; });
  expect_share(views, 0.5, [](const ViewParams& v) { return v.blur_radius == 1; });
  expect_share(views, 0.5, [](const ViewParams& v) { return v.blur_radius == 0; });
}

TEST(AugmentSampling, FactorsAreUniform) {
  const auto views = draw_many({}, kImage, 20000);
  expect_uniform(views, 0.6, 1.4, [](const ViewParams& v) { return v.brightness; });
  expect_uniform(views, 0.6, 1.4, [](const ViewParams& v) { return v.contrast; });
  expect_uniform(views, 0.6, 1.4, [](const ViewParams& v) { return v.saturation; });
  // 255 * U(-0.1, 0.1) truncated toward zero: 0 is twice as likely as any other value of -25..25.
  expect_share(views, 2 / 51.0, [](const ViewParams& v) { return v.hue_shift == 0; });
  for (const int shift : {-25, -24, -1, 1, 24})
    expect_share(views, (shift == -25 ? 0.5 : 1.0) / 51.0, [&](const ViewParams& v) { return v.hue_shift == shift; });
}

TEST(AugmentSampling, JitterStrengthIsThatOfSimclr) {
  AugmentSettings settings;
  set_jitter_strength(settings, kPublishedJitterStrength);
  EXPECT_EQ(settings, AugmentSettings{});
  set_jitter_strength(settings, 1);  // color_jitter(strength=1.0) of the code of Chen et al.: 0.8, 0.8, 0.8, 0.2
  EXPECT_EQ(settings.brightness, 0.8);
  EXPECT_EQ(settings.contrast, 0.8);
  EXPECT_EQ(settings.saturation, 0.8);
  EXPECT_EQ(settings.hue, 0.2);
  set_jitter_strength(settings, kMostJitterStrength);
  EXPECT_NO_THROW(check(settings));
}

TEST(AugmentSampling, NormalizationsHaveNames) {
  for (const std::string& name : normalization_names()) EXPECT_EQ(name_of(normalization_of(name)), name);
  EXPECT_EQ(name_of(Normalization{{0, 0, 0}, {1, 1, 2}}), "");
}

TEST(AugmentSampling, EveryOrderOfJitterIsEquallyLikely) {
  AugmentSettings settings;
  settings.jitter_probability = 1;
  std::map<std::string, int> seen;
  for (const ViewParams& view : draw_many(settings, kImage, 24000)) {
    std::string order;
    for (const JitterOp which : view.jitter_order) order += static_cast<char>('0' + static_cast<int>(which));
    ++seen[order];
  }
  EXPECT_EQ(seen.size(), 24u);
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, 1000, 5 * std::sqrt(1000.0)) << order;
}

// Area and log ratio of the accepted crops follow from rejection: compared with the same rule over a fine grid.
TEST(AugmentSampling, CropsFollowRandomResizedCrop) {
  const AugmentSettings settings;
  double area = 0, log_ratio = 0, accepted = 0;
  constexpr int kGrid = 1000;
  for (int i = 0; i < kGrid; ++i)
    for (int j = 0; j < kGrid; ++j) {
      const double share = 0.08 + 0.92 * (i + 0.5) / kGrid;
      const double log_r = std::log(0.75) + 2 * std::log(4.0 / 3.0) * (j + 0.5) / kGrid;
      const double w = std::nearbyint(96 * std::sqrt(share * std::exp(log_r)));
      const double h = std::nearbyint(96 * std::sqrt(share / std::exp(log_r)));
      if (w > 96 || h > 96) continue;
      accepted += 1;
      area += w * h;
      log_ratio += std::abs(std::log(w / h));
    }
  EXPECT_NEAR(1 - accepted / (kGrid * kGrid), 0.134, 0.005);

  const uint32_t count = 20000;
  double drawn_area = 0, drawn_log_ratio = 0, centre_y = 0, centre_x = 0;
  for (const ViewParams& v : draw_many(settings, kImage, count)) {
    ASSERT_GE(v.crop_h, 24);
    ASSERT_GE(v.crop_w, 24);
    ASSERT_LE(v.crop_y + v.crop_h, 96);
    ASSERT_LE(v.crop_x + v.crop_w, 96);
    drawn_area += static_cast<double>(v.crop_h) * v.crop_w;
    drawn_log_ratio += std::abs(std::log(static_cast<double>(v.crop_w) / v.crop_h));
    centre_y += v.crop_y + v.crop_h / 2.0;
    centre_x += v.crop_x + v.crop_w / 2.0;
  }
  const double root = std::sqrt(count);
  EXPECT_NEAR(drawn_area / count, area / accepted, 4 * 9216 * 0.27 / root);
  EXPECT_NEAR(drawn_log_ratio / count, log_ratio / accepted, 4 * 0.1 / root);
  EXPECT_NEAR(centre_y / count, 48, 4 * 12 / root);
  EXPECT_NEAR(centre_x / count, 48, 4 * 12 / root);
}

TEST(AugmentSampling, ImpossibleRatioFallsBackToCentre) {
  AugmentSettings settings;
  settings.scale_min = settings.scale_max = 1;
  for (const auto& [h, w, crop_h, crop_w] :
       {std::array{10, 100, 10, 13}, std::array{100, 10, 13, 10}, std::array{1, 3, 1, 1}}) {
    const ViewParams view = draw_view(settings, {0, h, w}, 1, 0, 0, 0);
    EXPECT_EQ(view.crop_h, crop_h);
    EXPECT_EQ(view.crop_w, crop_w);
    EXPECT_EQ(view.crop_y, (h - crop_h) / 2);
    EXPECT_EQ(view.crop_x, (w - crop_w) / 2);
  }
}

TEST(AugmentSampling, ViewsDependOnTheirKeyOnly) {
  const AugmentSettings settings;
  std::vector<ViewParams> forward, backward;
  for (uint32_t sample = 0; sample < 50; ++sample)
    for (uint16_t view = 0; view < 2; ++view) forward.push_back(draw_view(settings, kImage, 9, 4, sample, view));
  for (uint32_t sample = 50; sample-- > 0;)
    for (uint16_t view = 2; view-- > 0;)
      backward.insert(backward.begin(), draw_view(settings, kImage, 9, 4, sample, view));
  EXPECT_EQ(forward, backward);

  std::set<float> brightness;
  for (const uint64_t seed : {1, 2})
    for (const uint32_t epoch : {0, 1})
      for (const uint32_t sample : {0, 1})
        for (const uint16_t view : {0, 1})
          brightness.insert(draw_view(settings, kImage, seed, epoch, sample, view).brightness);
  EXPECT_EQ(brightness.size(), 16u);
}

TEST(AugmentSampling, OneSettingDoesNotMoveTheOthers) {
  const AugmentSettings published;
  AugmentSettings changed;
  changed.scale_min = 0.5;
  changed.brightness = 0;
  changed.gray_probability = 1;
  for (uint32_t sample = 0; sample < 100; ++sample) {
    const ViewParams a = draw_view(published, kImage, 1, 0, sample, 0), b = draw_view(changed, kImage, 1, 0, sample, 0);
    EXPECT_EQ(a.flip, b.flip);
    EXPECT_EQ(a.hue_shift, b.hue_shift);
    EXPECT_EQ(a.saturation, b.saturation);
    EXPECT_EQ(a.blur_radius, b.blur_radius);
    EXPECT_EQ(a.blur_weights[0], b.blur_weights[0]);
    EXPECT_EQ(b.jitter_count, a.jitter_count ? kJitterOps - 1 : 0);
    EXPECT_TRUE(b.gray);
  }
}

TEST(AugmentSampling, BlurWeightsOfThreeTaps) {
  // sigma and side weight of cv2.getGaussianKernel(3, sigma), in 1/256.
  for (const auto& [sigma, side] :
       {std::pair{0.1, 0}, {0.28, 0}, {0.3, 1}, {0.4, 10}, {0.5, 27}, {0.7, 54}, {1.0, 70}, {1.5, 79}, {2.0, 82}}) {
    ViewParams view;
    set_gaussian_blur(view, 3, sigma);
    EXPECT_EQ(view.blur_radius, 1);
    EXPECT_EQ(view.blur_weights[0], side) << "sigma " << sigma;
  }
}

TEST(AugmentSampling, BlurKernelFollowsSize) {
  for (const auto& [size, radius] : {std::pair{8, 0}, {32, 1}, {64, 3}, {96, 4}, {224, 11}, {4096, 15}}) {
    AugmentSettings settings;
    settings.size = size;
    settings.blur_probability = 1;
    EXPECT_EQ(draw_view(settings, kImage, 0, 0, 0, 0).blur_radius, radius) << "size " << size;
  }
}

TEST(AugmentSampling, EvaluationViewIsResizeAndCentreCrop) {
  const ViewParams same = evaluation_view({7, 96, 96}, 96);
  EXPECT_EQ(same.image_offset, 7);
  EXPECT_EQ(same.crop_h, 96);
  EXPECT_EQ(same.resize_h, 96);
  EXPECT_EQ(same.resize_w, 96);
  EXPECT_EQ(same.window_x, 0);
  EXPECT_EQ(same.jitter_count + same.blur_radius + same.gray + same.flip, 0);

  const ViewParams wide = evaluation_view({0, 120, 161}, 32);  // int(32 * 161 / 120) = 42, round((42 - 32) / 2) = 5
  EXPECT_EQ(wide.resize_h, 32);
  EXPECT_EQ(wide.resize_w, 42);
  EXPECT_EQ(wide.window_y, 0);
  EXPECT_EQ(wide.window_x, 5);
  const ViewParams tall = evaluation_view({0, 161, 110}, 32);  // int(46.8) = 46, 7
  EXPECT_EQ(tall.resize_h, 46);
  EXPECT_EQ(tall.window_y, 7);
  EXPECT_EQ(evaluation_view({0, 35, 32}, 32).window_y, 2);  // round(1.5), half to even
  EXPECT_EQ(evaluation_view({0, 33, 32}, 32).window_y, 0);  // round(0.5)
}

TEST(AugmentSampling, BadSettingsAreNamed) {
  const auto message = [](auto change) -> std::string {
    AugmentSettings settings;
    change(settings);
    try {
      check(settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message([](AugmentSettings&) {}), "");
  EXPECT_NE(message([](AugmentSettings& s) { s.scale_min = 0; }).find("scale"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.ratio_max = 0.1; }).find("ratio"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.hue = 0.6; }).find("hue"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.blur_kernel = 4; }).find("blur kernel"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.blur_sigma_min = NAN; }).find("blur sigma"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.gray_probability = 1.5; }).find("gray"), std::string::npos);
  EXPECT_NE(message([](AugmentSettings& s) { s.normalization.std[1] = 0; }).find("std"), std::string::npos);
}

}  // namespace
}  // namespace dcl
