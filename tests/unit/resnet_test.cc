// What there is to compute in a ResNet, against counts from elsewhere.
#include "nn/resnet.h"

#include <gtest/gtest.h>

namespace dcl {
namespace {

double forward_flops(const ModelConfig& config, const Shape& images) {
  double flops = 0;
  for (const ConvDesc& conv : convolutions(config, images, DType::f32)) flops += flops_of(conv);
  return flops;
}

// Multiply-adds of the trunk's convolutions by forward hooks on torchvision 0.29's models: the sum over Conv2d modules
// of out.numel() * weight[0].numel(); CIFAR stem: conv1 replaced by Conv2d(3, 64, 3, 1, 1), no max-pool.
TEST(ResNet, ConvolutionsAreThoseOfTorchvision) {
  const auto macs = [](const char* arch, Stem stem, int64_t size) {
    return forward_flops({.arch = arch, .stem = stem}, {1, size, size, 3}) / 2;
  };
  EXPECT_EQ(macs("resnet50", Stem::cifar, 32), 1297809408);
  EXPECT_EQ(macs("resnet50", Stem::cifar, 96), 11680284672);
  EXPECT_EQ(macs("resnet18", Stem::cifar, 32), 555417600);
  EXPECT_EQ(macs("resnet34", Stem::imagenet, 224), 3663249408);
  EXPECT_EQ(macs("resnet101", Stem::imagenet, 224), 7799357440);
}

// The images need no gradient.
TEST(ResNet, AStepIsThreePassesButTheFirst) {
  const Shape images{512, 32, 32, 3};
  const double stem = 2.0 * 512 * 32 * 32 * 64 * 27;
  EXPECT_DOUBLE_EQ(training_flops({}, images), 3 * forward_flops({}, images) - stem);
}

}  // namespace
}  // namespace dcl
