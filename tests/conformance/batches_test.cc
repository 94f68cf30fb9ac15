// From the data set to the views of a step on every backend: the same bits as the eigen backend's loader makes, whether
// the data set lies in a device's memory or is copied batch by batch.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <set>

#include "data/batch_input.h"
#include "data/loader.h"
#include "support/backends.h"
#include "train/features.h"

namespace dcl::test {
namespace {

constexpr int64_t kBatch = 6, kImages = 20;
constexpr int kViews = 2;

/// Images of different extents, so that each has its own place in a batch.
Dataset uneven_images() {
  Dataset out = load_dataset({.name = "shapes", .split = "train", .shapes_count = kImages, .shapes_size = 24});
  for (size_t i = 0; i < out.images.size(); ++i)
    out.images[i].h -= static_cast<int32_t>(i % 5), out.images[i].w -= static_cast<int32_t>(i % 3);
  return out;
}

class Batches : public testing::TestWithParam<std::string> {
 protected:
  Batches() {
    settings_.size = 12;
    options_.augment = augment_desc(settings_);
    options_.batch = kBatch;
    options_.views = kViews;
    options_.seed = 5;
    options_.threads = 2;
    options_.drop_last = false;
    options_.end_epoch = 2;
  }

  struct Copy {
    std::vector<std::byte> views;
    std::vector<int32_t> labels;
    bool operator==(const Copy&) const = default;
  };
  /// Two epochs of views and labels, as a step finds them.
  std::vector<Copy> batches(Backend& backend) const {
    Loader loader(data_, backend, training_views(settings_, 5), options_);
    BatchInput input(backend, options_.augment, kBatch, kViews);
    const Shape shape{kViews * kBatch, options_.augment.h, options_.augment.w, 3};
    Buffer memory(backend, static_cast<size_t>(shape.elements()) * size_of(options_.dtype));
    std::vector<Copy> all;
    loader.start();
    while (const Batch* batch = loader.next()) {
      const TensorRef views = memory.view({kViews * batch->images, shape[1], shape[2], 3}, options_.dtype);
      input.upload(*batch);
      input.make_views(views);
      Copy& copy = all.emplace_back();
      copy.views.resize(views.bytes());
      copy.labels.resize(static_cast<size_t>(batch->images));
      backend.copy_out(copy.views.data(), views);
      backend.copy_out(copy.labels.data(), input.labels());
    }
    return all;
  }

  size_t bytes_of_largest(size_t count) const {
    std::multiset<int64_t, std::greater<>> bytes;
    for (const PooledImage& image : data_.images) bytes.insert(int64_t{3} * image.h * image.w);
    return static_cast<size_t>(
        std::accumulate(bytes.begin(), std::next(bytes.begin(), static_cast<long>(count)), int64_t{0}));
  }

  AugmentSettings settings_;
  LoaderOptions options_;
  Dataset data_ = uneven_images();
  std::unique_ptr<Backend> backend_ = make_backend(GetParam()), eigen_ = make_backend("eigen");
};

TEST_P(Batches, AreTheSameBitsOnEveryBackend) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    options_.dtype = dtype;
    const std::vector<Copy> expected = batches(*eigen_);
    ASSERT_EQ(expected.size(), 8u);
    ASSERT_NE(expected[0], expected[4]);
    for (const bool resident : {true, false}) {
      options_.resident = resident;
      EXPECT_TRUE(batches(*backend_) == expected) << name_of(dtype) << ", resident " << resident;
    }
  }
}

TEST_P(Batches, LieWhereTheOptionsSay) {
  if (!backend_->on_device()) GTEST_SKIP() << "for devices";
  for (const bool resident : {true, false}) {
    options_.resident = resident;
    Loader loader(data_, *backend_, training_views(settings_, 5), options_);
    loader.start();
    const Batch& batch = *loader.next();
    EXPECT_EQ(static_cast<bool>(batch.pool), resident);
    EXPECT_EQ(batch.pixels.empty(), resident);
    EXPECT_EQ(batch.pixel_room, resident ? 0 : bytes_of_largest(kBatch));
    EXPECT_FALSE(batch.views);
  }
}

TEST_P(Batches, PassesOfADeviceAreFewAndNoLargerThanKeepsItBusy) {
  const ModelConfig cifar{.arch = "resnet18"}, imagenet{.arch = "resnet18", .stem = Stem::imagenet};
  const auto per_pass = [&](const ModelConfig& config, int64_t size, int64_t images, int64_t most) {
    return images_per_pass(*backend_, config, {.h = size, .w = size}, images, most);
  };
  const bool device = backend_->on_device();
  EXPECT_EQ(per_pass(cifar, 32, 300, 256), device ? 256 : 150);
  EXPECT_EQ(per_pass(cifar, 32, 5, 256), device ? 8 : 5);
  EXPECT_EQ(per_pass(cifar, 32, 5, 6), device ? 6 : 5);
  EXPECT_EQ(per_pass(cifar, 32, 1, 1), 1);
  EXPECT_EQ(per_pass(cifar, 96, 1000, 500), device ? 56 : 500);
  EXPECT_EQ(per_pass(imagenet, 96, 1000, 500), 500);
  EXPECT_EQ(per_pass(imagenet, 224, 1000, 500), device ? 167 : 500);
  EXPECT_EQ(per_pass(cifar, 4096, 10, 10), device ? 1 : 10);
}

INSTANTIATE_TEST_SUITE_P(Backends, Batches, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
