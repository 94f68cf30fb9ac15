// Properties of the augment op that are not about one operator: normalisation and its rounding, all colours through the
// hue kernel, independence of batch and thread, refusal of bad parameters.
#include <gtest/gtest.h>

#include <thread>

#include "augment/augment.h"
#include "core/registry.h"
#include "eigen/kernels/augment.h"
#include "math/philox.h"
#include "support/augment_bytes.h"
#include "support/oracle_pillow.h"

namespace dcl::test {
namespace {

constexpr int kExtent = 48, kImages = 6;

class AugmentOp : public testing::Test {
 protected:
  AugmentOp() {
    RandomStream random(8, RandomPurpose::test);
    for (int i = 0; i < kImages * 3 * kExtent * kExtent; ++i) pool_.push_back(static_cast<uint8_t>(random.below(256)));
  }
  ConstTensorRef pool() const { return tensor_of(pool_.data(), {static_cast<int64_t>(pool_.size())}); }
  std::vector<ViewParams> draw(int count) const {
    std::vector<ViewParams> views;
    for (int i = 0; i < count; ++i)
      views.push_back(draw_view({}, {int64_t{3} * kExtent * kExtent * (i % kImages), kExtent, kExtent}, 2, 0,
                                static_cast<uint32_t>(i), 0));
    return views;
  }
  std::vector<float> run(const std::vector<ViewParams>& views) {
    std::vector<float> out(views.size() * 3 * 32 * 32, NAN);
    check_views({}, views, static_cast<int64_t>(pool_.size()));
    backend_->augment({}, pool(), views_tensor(views),
                      tensor_of(out.data(), {static_cast<int64_t>(views.size()), 32, 32, 3}));
    return out;
  }

  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  std::vector<uint8_t> pool_;
};

TEST_F(AugmentOp, NormalisesInThreeRoundedSteps) {
  AugmentDesc desc;
  desc.h = 16;
  desc.w = 16;
  std::vector<uint8_t> image;
  for (int i = 0; i < 256; ++i)
    for (int c = 0; c < 3; ++c) image.push_back(static_cast<uint8_t>(i * (2 * c + 1)));
  ViewParams whole = evaluation_view({0, 16, 16}, 16), flipped = whole;
  flipped.flip = true;  // leaves the path for whole images
  const std::vector<float> direct = augment_f32(*backend_, desc, image, whole);
  const std::vector<float> mirrored = augment_f32(*backend_, desc, image, flipped);
  for (size_t y = 0; y < 16; ++y)
    for (size_t x = 0; x < 16; ++x)
      for (size_t c = 0; c < 3; ++c) {
        const size_t at = (16 * y + x) * 3 + c;
        volatile float value = static_cast<float>(image[at]);
        value = value / 255.0f;
        value = value - desc.normalization.mean[c];
        value = value / desc.normalization.std[c];
        EXPECT_EQ(direct[at], value);
        EXPECT_EQ(mirrored[(16 * y + 15 - x) * 3 + c], value);
      }
}

TEST_F(AugmentOp, Bf16IsTheRoundedF32) {
  const std::vector<ViewParams> views = draw(8);
  const std::vector<float> exact = run(views);
  std::vector<bf16> rounded(exact.size());
  backend_->augment({}, pool(), views_tensor(views), tensor_of(rounded.data(), {8, 32, 32, 3}));
  for (size_t i = 0; i < exact.size(); ++i) {
    // To nearest, ties to even: the distance is at most half a unit of the last of 8 bits, and a tie has an even
    // result.
    const float value = static_cast<float>(rounded[i]);
    const float unit = std::ldexp(1.0f, std::ilogb(exact[i]) - 7);
    const float distance = std::abs(value - exact[i]);
    ASSERT_LE(distance, unit / 2) << exact[i];
    if (distance == unit / 2) {
      ASSERT_EQ(rounded[i].bits & 1, 0) << exact[i];
    }
  }
}

// A view of 2^24 pixels holds every colour once. Three shifts here; all 256 with DCL_EXHAUSTIVE set.
TEST_F(AugmentOp, HueOfEveryColour) {
  constexpr int64_t kColours = 1 << 24;
  std::vector<int> shifts = {0, 21, -25};
  if (std::getenv("DCL_EXHAUSTIVE")) {
    shifts.clear();
    for (int shift = -128; shift < 128; ++shift) shifts.push_back(shift);
  }
  std::vector<Triple> hsv(kColours);
  for (int64_t i = 0; i < kColours; ++i)
    hsv[static_cast<size_t>(i)] =
        pillow_rgb_to_hsv({static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)});
  std::vector<uint8_t> planes(3 * kColours);
  std::vector<Triple> rgb(kColours);  // of every HSV
  for (int64_t i = 0; i < kColours; ++i)
    rgb[static_cast<size_t>(i)] =
        pillow_hsv_to_rgb({static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)});
  for (const int shift : shifts) {
    for (int64_t i = 0; i < kColours; ++i)
      for (int c = 0; c < 3; ++c)
        planes[static_cast<size_t>(c * kColours + i)] = static_cast<uint8_t>(i >> (16 - 8 * c));
    kernels::augment_color().hue(planes.data(), kColours, shift);
    int64_t differing = 0;
    for (size_t i = 0; i < kColours; ++i) {
      const size_t turned = size_t{static_cast<uint8_t>(hsv[i][0] + shift)} << 16 | size_t{hsv[i][1]} << 8 | hsv[i][2];
      for (size_t c = 0; c < 3; ++c) differing += planes[c * kColours + i] != rgb[turned][c];
    }
    EXPECT_EQ(differing, 0) << "shift " << shift;
  }
}

TEST_F(AugmentOp, ViewsDoNotDependOnTheirBatch) {
  const std::vector<ViewParams> views = draw(40);
  const std::vector<float> together = run(views);
  for (size_t i = views.size(); i-- > 0;) {
    const std::vector<float> alone = run({views[i]});
    ASSERT_TRUE(
        std::equal(alone.begin(), alone.end(), together.begin() + static_cast<std::ptrdiff_t>(i * alone.size())))
        << "view " << i;
  }
}

TEST_F(AugmentOp, ThreadsDoNotDisturbEachOther) {
  const std::vector<ViewParams> views = draw(40);
  const std::vector<float> want = run(views);
  std::vector<std::vector<float>> got(4);
  std::vector<std::thread> threads;
  for (auto& result : got) threads.emplace_back([&] { result = run(views); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : got) EXPECT_EQ(result, want);
}

TEST_F(AugmentOp, RefusesParametersOutsideTheirRange) {
  const auto refuses = [&](auto change) {
    ViewParams view = evaluation_view({0, kExtent, kExtent}, 32);
    change(view);
    EXPECT_THROW(run({view}), Error);
  };
  EXPECT_NO_THROW(run({evaluation_view({0, kExtent, kExtent}, 32)}));
  refuses([&](ViewParams& v) { v.image_offset = static_cast<int64_t>(pool_.size()) - 1; });
  refuses([](ViewParams& v) { v.image_offset = -1; });
  refuses([](ViewParams& v) { v.crop_x = 1; });
  refuses([](ViewParams& v) { v.crop_h = 0; });
  refuses([](ViewParams& v) { v.resize_h = 31; });
  refuses([](ViewParams& v) { v.window_x = 1; });
  refuses([](ViewParams& v) { v.jitter_count = 5; });
  refuses([](ViewParams& v) { v.jitter_order[3] = static_cast<JitterOp>(4); });
  refuses([](ViewParams& v) { v.contrast = -0.1f; });
  refuses([](ViewParams& v) { v.saturation = NAN; });
  refuses([](ViewParams& v) { v.hue_shift = 256; });
  refuses([](ViewParams& v) { v.blur_radius = 16; });
  refuses([](ViewParams& v) {
    v.blur_radius = 1;
    v.blur_weights[0] = 129;
  });
}

}  // namespace
}  // namespace dcl::test
