// The augment op of every backend, bit for bit against the eigen backend's, which unit/augment_pixels_test.cc and
// reference/augment_test.cc hold to Pillow and OpenCV.
#include "augment/augment.h"

#include <gtest/gtest.h>

#include <array>

#include "math/philox.h"
#include "support/backends.h"
#include "support/op_run.h"

namespace dcl::test {
namespace {

class Augment : public testing::TestWithParam<std::string> {
 protected:
  Augment() {
    RandomStream random(11, RandomPurpose::test);
    for (int i = 0; i < 3 * 150 * 170; ++i) pool_.push_back(static_cast<double>(random.below(256)));
  }

  /// An image of h x w pixels at the end of the pool.
  PooledImage image(int32_t h, int32_t w) const {
    return {static_cast<int64_t>(pool_.size()) - int64_t{3} * h * w, h, w};
  }

  void check(const AugmentDesc& d, const std::vector<ViewParams>& views) {
    check_views(d, views, static_cast<int64_t>(pool_.size()));
    const auto* bytes = reinterpret_cast<const uint8_t*>(views.data());
    const Shape in = views_shape(static_cast<int64_t>(views.size()));
    const Values params = values_of(in, DType::u8, {bytes, bytes + in.elements()});
    const Values pool = values_of({static_cast<int64_t>(pool_.size())}, DType::u8, std::vector<double>(pool_));
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto result = [&](Backend& backend) {
        OpRun run(backend);
        const auto images = run.input(pool), v = run.input(params);
        const auto out = run.output({in[0], d.h, d.w, 3}, dtype);
        run.run([&] { backend.augment(d, images, v, out); });
        return run.result(out);
      };
      const std::vector<double> got = result(*backend_), want = result(*eigen_);
      size_t differing = 0;
      for (size_t i = 0; i < want.size(); ++i) differing += got[i] != want[i];
      EXPECT_EQ(differing, 0u) << "of " << want.size() << ", " << name_of(dtype) << ' ' << d.h << " x " << d.w;
    }
  }
  void check(int64_t h, int64_t w, const ViewParams& view) {
    AugmentDesc d;
    d.h = h, d.w = w;
    check(d, {view});
  }

  std::unique_ptr<Backend> backend_ = make_backend(GetParam()), eigen_ = make_backend("eigen");
  std::vector<double> pool_;
};

TEST_P(Augment, DrawnViews) {
  AugmentSettings settings;
  settings.jitter_probability = settings.blur_probability = 0.9;
  for (const int64_t size : {32, 48, 9})
    for (const LumaRule luma : {LumaRule::pillow7, LumaRule::pillow6}) {
      settings.size = size;
      settings.luma = luma;
      settings.blur_kernel = size == 48 ? 11 : size == 9 ? 31 : 0;
      std::vector<ViewParams> views;
      for (uint32_t sample = 0; sample < 12; ++sample)
        views.push_back(draw_view(settings, sample % 2 ? image(96, 96) : image(61, 140), 3, 1, sample, 0));
      check(augment_desc(settings), views);
    }
}

TEST_P(Augment, EvaluationViews) {
  check(31, 17, evaluation_view(image(31, 17), 0));
  for (const int64_t size : {96, 32, 40}) check(size, size, evaluation_view(image(96, 120), size));
}

TEST_P(Augment, ExtentsOfEveryKind) {
  for (const auto& [h, w, to_h, to_w] : {std::array{1, 1, 32, 32},
                                         {1, 9, 5, 1},
                                         {2, 3, 33, 7},
                                         {150, 170, 3, 2},
                                         {150, 170, 150, 170},
                                         {4, 150, 200, 130},
                                         {20, 20, 150, 141}})
    check(to_h, to_w, evaluation_view(image(h, w), 0));
}

/// A view too large for shared memory with every operator, and one whose filters are.
TEST_P(Augment, LargeViews) {
  AugmentSettings settings;
  settings.size = 161;
  settings.jitter_probability = settings.blur_probability = settings.gray_probability = 1;
  check(augment_desc(settings), {draw_view(settings, image(150, 170), 3, 1, 0, 0)});
  check(1, 2, evaluation_view(image(1, 16384), 0));
}

INSTANTIATE_TEST_SUITE_P(Backends, Augment, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
