// What linear evaluation asks of the backend.
#include "train/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "eigen/eigen_backend.h"

namespace dcl {
namespace {

/// Remembers how many images the largest forward pass in evaluation mode had.
class CountingBackend : public EigenBackend {
 public:
  int64_t most_images = 0;

 protected:
  void do_fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                     ConstTensorRef residual, TensorRef y, Workspace workspace) override {
    most_images = std::max(most_images, d.conv.n);
    EigenBackend::do_fused_conv(d, x, packed, bias, residual, y, workspace);
  }
};

TEST(Linear, AForwardPassHasNoMoreImagesThanThereAre) {
  DatasetSpec spec;
  spec.shapes_count = 15, spec.shapes_size = 16;
  const Dataset train = load_dataset(spec);
  spec.split = "test", spec.shapes_count = 5;
  const Dataset test = load_dataset(spec);
  for (const auto& [protocol, views, expected] : {std::tuple{LinearProtocol::frozen, 0, train.size()},
                                                  {LinearProtocol::frozen, 1, train.size()},
                                                  {LinearProtocol::batch, 0, test.size()}}) {
    CountingBackend backend;
    ParameterStore encoder(backend, {.arch = "resnet18"}, false);
    encoder.initialise(1);
    LinearSettings settings;
    settings.protocol = protocol, settings.views = views;
    settings.epochs = 1, settings.augment.size = 16;
    linear_evaluation(backend, encoder, train, test, settings, [](const LinearEpoch&) {});
    EXPECT_EQ(backend.most_images, expected) << "protocol " << static_cast<int>(protocol) << ", views " << views;
  }
}

TEST(Features, TheLastForwardPassIsAsFullAsTheOthers) {
  const Dataset data = load_dataset({.shapes_count = 9, .shapes_size = 16});
  CountingBackend backend;
  ParameterStore encoder(backend, {.arch = "resnet18"}, false);
  encoder.initialise(1);
  FeatureExtractor extractor(backend, encoder, evaluation_pixels(data, 0), data.size(), 8, DType::f32);
  std::vector<size_t> passes;
  extractor.extract(data, all_images(data), evaluation_views(0), 0, [&](std::span<const float> rows) {
    passes.push_back(rows.size() / static_cast<size_t>(extractor.dim()));
    return true;
  });
  EXPECT_EQ(passes, (std::vector<size_t>{5, 4}));
  EXPECT_EQ(backend.most_images, 5);
}

}  // namespace
}  // namespace dcl
