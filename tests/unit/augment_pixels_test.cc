// The augment op against an independent transcription of Pillow and OpenCV, byte for byte: every operator, extents from
// one pixel up, and whole chains.
#include <gtest/gtest.h>

#include "augment/augment.h"
#include "core/registry.h"
#include "math/philox.h"
#include "support/augment_bytes.h"
#include "support/oracle_pillow.h"

namespace dcl::test {
namespace {

class AugmentPixels : public testing::Test {
 protected:
  /// A whole-image view and descriptor for `in`, changed by `set`.
  template <class Set>
  std::vector<uint8_t> bytes_of(const Picture& in, Set&& set) {
    ViewParams view = evaluation_view({0, in.h, in.w}, 0);
    AugmentDesc desc;
    desc.h = in.h;
    desc.w = in.w;
    set(view, desc);
    return augment_bytes(*backend_, desc, in.bytes, view);
  }
  std::vector<uint8_t> jittered(const Picture& in, JitterOp op, float factor, LumaRule luma = LumaRule::pillow7) {
    return bytes_of(in, [&](ViewParams& view, AugmentDesc& desc) {
      view.jitter_count = 1;
      view.jitter_order[0] = op;
      view.brightness = view.contrast = view.saturation = factor;
      desc.luma = luma;
    });
  }
  Picture random_picture(int h, int w) {
    return picture_of(h, w, [&](int, int, int) { return random_.below(256); });
  }

  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  RandomStream random_{5, RandomPurpose::test};
};

TEST_F(AugmentPixels, ResizeOfEveryCropTo32) {
  const Picture image = random_picture(96, 96);
  for (int h = 24; h <= 96; ++h)
    for (int w = 24; w <= 96; ++w) {
      const int top = static_cast<int>(random_.below(static_cast<uint64_t>(97 - h)));
      const int left = static_cast<int>(random_.below(static_cast<uint64_t>(97 - w)));
      const auto got = bytes_of(image, [&](ViewParams& view, AugmentDesc& desc) {
        view.crop_y = top;
        view.crop_x = left;
        view.crop_h = h;
        view.crop_w = w;
        desc.h = desc.w = 32;
      });
      ASSERT_EQ(got, oracle_resize(oracle_crop(image, top, left, h, w), 32, 32).bytes) << h << " x " << w;
    }
}

TEST_F(AugmentPixels, ResizeBetweenAnyExtents) {
  const std::array<int, 4> cases[] = {{1, 1, 32, 32},   {1, 1, 1, 1},   {1, 9, 5, 1},    {2, 3, 33, 7},
                                      {32, 32, 32, 32}, {5, 5, 64, 64}, {500, 3, 3, 50}, {3, 700, 1, 2},
                                      {17, 40, 17, 8},  {40, 17, 8, 17}};
  for (const auto& [in_h, in_w, out_h, out_w] : cases) {
    const Picture image = random_picture(in_h, in_w);
    const auto got = bytes_of(image, [&, h = out_h, w = out_w](ViewParams&, AugmentDesc& desc) {
      desc.h = h;
      desc.w = w;
    });
    EXPECT_EQ(got, oracle_resize(image, out_h, out_w).bytes) << in_h << "x" << in_w << " to " << out_h << "x" << out_w;
  }
}

TEST_F(AugmentPixels, ResizeKeepsExtremeBytes) {
  for (const int level : {0, 255})
    for (const int extent : {3, 31, 97, 1000}) {
      const Picture image = picture_of(extent, extent, [&](int, int, int) { return level; });
      const auto got = bytes_of(image, [](ViewParams&, AugmentDesc& desc) { desc.h = desc.w = 32; });
      EXPECT_EQ(got, std::vector<uint8_t>(3 * 32 * 32, static_cast<uint8_t>(level)));
    }
}

TEST_F(AugmentPixels, EvaluationViewIsTheCentreOfTheResizedImage) {
  for (const auto& [h, w, size] : {std::array{96, 96, 32}, {60, 81, 32}, {90, 33, 32}, {20, 31, 48}, {33, 32, 32}}) {
    const Picture image = random_picture(h, w);
    const int shorter = std::min(h, w);
    const Picture resized =
        oracle_resize(image, h == shorter ? size : size * h / shorter, w == shorter ? size : size * w / shorter);
    const auto middle = [&, s = size](int extent) { return static_cast<int>(std::nearbyint((extent - s) / 2.0)); };
    const auto got = bytes_of(image, [&, s = size, height = h, width = w](ViewParams& view, AugmentDesc& desc) {
      view = evaluation_view({0, height, width}, s);
      desc.h = desc.w = s;
    });
    EXPECT_EQ(got, oracle_crop(resized, middle(resized.h), middle(resized.w), size, size).bytes) << h << " x " << w;
  }
}

/// One after the other on one thread, which keeps the weights of the last resize.
TEST_F(AugmentPixels, AnyWindowOfAResizedCrop) {
  const Picture image = random_picture(24, 24);
  const Picture resized = oracle_resize(image, 30, 40);
  for (const auto& [y, x, h, w] :
       {std::array{3, 5, 8, 8}, {4, 9, 8, 8}, {4, 9, 12, 20}, {0, 0, 30, 40}, {4, 9, 2, 3}}) {
    const auto got =
        bytes_of(image, [&, top = y, left = x, height = h, width = w](ViewParams& view, AugmentDesc& desc) {
          view.resize_h = 30, view.resize_w = 40;
          view.window_y = top, view.window_x = left;
          desc.h = height, desc.w = width;
        });
    EXPECT_EQ(got, oracle_crop(resized, y, x, h, w).bytes) << h << " x " << w << " at " << y << ", " << x;
  }
}

/// What is nearly the source image itself.
TEST_F(AugmentPixels, ACropAndAWindowOfTheOutputsExtentAreNoWholeImages) {
  const Picture larger = random_picture(20, 24), image = random_picture(16, 16);
  EXPECT_EQ(bytes_of(larger,
                     [](ViewParams& view, AugmentDesc& desc) {
                       view.crop_y = 3, view.crop_x = 5;
                       view.crop_h = view.crop_w = 16;
                       desc.h = desc.w = 16;
                     }),
            oracle_crop(larger, 3, 5, 16, 16).bytes);
  for (const auto& [h, w] : {std::pair{32, 16}, {16, 32}})
    EXPECT_EQ(bytes_of(image, [height = h, width = w](ViewParams& view,
                                                      AugmentDesc&) { view.resize_h = height, view.resize_w = width; }),
              oracle_crop(oracle_resize(image, h, w), 0, 0, 16, 16).bytes);
}

TEST_F(AugmentPixels, Flip) {
  for (const auto& [h, w] : {std::pair{1, 1}, {5, 17}, {32, 32}, {3, 64}}) {
    const Picture image = random_picture(h, w);
    EXPECT_EQ(bytes_of(image, [](ViewParams& view, AugmentDesc&) { view.flip = true; }), oracle_flip(image).bytes);
  }
}

TEST_F(AugmentPixels, BlendsOfEveryStrength) {
  for (const auto& [h, w] : {std::pair{32, 32}, {13, 37}, {1, 1}}) {
    const Picture image = random_picture(h, w);
    for (const float factor : {0.0f, 1e-6f, 0.3f, 0.6f, 0.999999f, 1.0f, 1.000001f, 1.4f, 2.7f, 100.0f}) {
      SCOPED_TRACE(factor);
      EXPECT_EQ(jittered(image, JitterOp::brightness, factor), oracle_brightness(image, factor).bytes);
      for (const LumaRule luma : {LumaRule::pillow7, LumaRule::pillow6}) {
        const bool rounded = luma == LumaRule::pillow7;
        EXPECT_EQ(jittered(image, JitterOp::contrast, factor, luma), oracle_contrast(image, factor, rounded).bytes);
        EXPECT_EQ(jittered(image, JitterOp::saturation, factor, luma), oracle_saturation(image, factor, rounded).bytes);
      }
    }
  }
}

TEST_F(AugmentPixels, GrayFollowsTheLumaRule) {
  const Picture image = random_picture(64, 48);
  for (const LumaRule luma : {LumaRule::pillow7, LumaRule::pillow6})
    EXPECT_EQ(bytes_of(image,
                       [&](ViewParams& view, AugmentDesc& desc) {
                         view.gray = true;
                         desc.luma = luma;
                       }),
              oracle_gray(image, luma == LumaRule::pillow7).bytes);
  // Published with the change of rounding: Pillow 6.2.2 gives 175, Pillow 7 gives 176.
  const Picture pixel = picture_of(1, 1, [](int, int, int c) { return c == 0 ? 177 : 175; });
  for (const auto& [luma, level] : {std::pair{LumaRule::pillow7, 176}, {LumaRule::pillow6, 175}})
    EXPECT_EQ(bytes_of(pixel,
                       [&, rule = luma](ViewParams& view, AugmentDesc& desc) {
                         view.gray = true;
                         desc.luma = rule;
                       }),
              std::vector<uint8_t>(3, static_cast<uint8_t>(level)));
}

TEST_F(AugmentPixels, BlurWithEveryWeight) {
  const Picture image = random_picture(9, 40);
  for (int side = 0; side <= 128; ++side)
    ASSERT_EQ(bytes_of(image,
                       [&](ViewParams& view, AugmentDesc&) {
                         view.blur_radius = 1;
                         view.blur_weights[0] = static_cast<uint8_t>(side);
                       }),
              oracle_blur(image, {side}).bytes)
        << "side weight " << side;
}

TEST_F(AugmentPixels, BlurOfAnyWidthAndExtent) {
  for (const int kernel : {1, 3, 5, 9, 31})
    for (const double sigma : {0.1, 0.8, 2.0, 50.0})
      for (const auto& [h, w] : {std::pair{1, 1}, {1, 7}, {2, 3}, {20, 70}}) {
        const Picture image = random_picture(h, w);
        ViewParams blurred;
        set_gaussian_blur(blurred, kernel, sigma);
        const std::vector<int> side(blurred.blur_weights, blurred.blur_weights + blurred.blur_radius);
        EXPECT_EQ(bytes_of(image, [&](ViewParams& view, AugmentDesc&) { set_gaussian_blur(view, kernel, sigma); }),
                  oracle_blur(image, side).bytes)
            << kernel << " taps, sigma " << sigma << ", " << h << " x " << w;
      }
}

Picture oracle_jitter(Picture image, const ViewParams& view, bool rounded) {
  for (int i = 0; i < view.jitter_count; ++i) {
    switch (view.jitter_order[i]) {
      case JitterOp::brightness:
        image = oracle_brightness(image, view.brightness);
        break;
      case JitterOp::contrast:
        image = oracle_contrast(image, view.contrast, rounded);
        break;
      case JitterOp::saturation:
        image = oracle_saturation(image, view.saturation, rounded);
        break;
      case JitterOp::hue:
        image = oracle_hue(image, view.hue_shift);
        break;
    }
  }
  return image;
}

TEST_F(AugmentPixels, DrawnChains) {
  for (const int64_t size : {32, 20, 96}) {
    AugmentSettings settings;
    settings.size = size;
    settings.luma = size == 20 ? LumaRule::pillow6 : LumaRule::pillow7;
    const bool rounded = settings.luma == LumaRule::pillow7;
    for (uint32_t sample = 0; sample < 60; ++sample) {
      const Picture image =
          random_picture(40 + static_cast<int>(random_.below(80)), 40 + static_cast<int>(random_.below(80)));
      const ViewParams view = draw_view(settings, {0, image.h, image.w}, 11, 0, sample, 1);
      const auto extent = static_cast<int>(size);
      Picture want =
          oracle_resize(oracle_crop(image, view.crop_y, view.crop_x, view.crop_h, view.crop_w), extent, extent);
      if (view.flip) want = oracle_flip(want);
      want = oracle_jitter(want, view, rounded);
      if (view.gray) want = oracle_gray(want, rounded);
      want = oracle_blur(want, {view.blur_weights, view.blur_weights + view.blur_radius});
      ASSERT_EQ(augment_bytes(*backend_, augment_desc(settings), image.bytes, view), want.bytes)
          << "size " << size << " sample " << sample;
    }
  }
}

}  // namespace
}  // namespace dcl::test
