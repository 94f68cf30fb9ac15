// The ResNets of torchvision (He et al. 2016; bottleneck stride on the 3x3 convolution, "v1.5") as data: what
// convolutions there are, in which order, under which names of the published code.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops.h"
#include "nn/model_config.h"

namespace dcl {

/// Blocks of each of the four layers; a bottleneck block has three convolutions, the other two.
struct Architecture {
  std::string_view name;
  bool bottleneck;
  std::array<int, 4> blocks;
};
/// Those that this project knows.
std::span<const Architecture> architectures();

/// A bias-free convolution followed by batch norm.
struct ConvNormSpec {
  std::string conv, norm;  ///< name prefixes: "f.3.0.conv1", "f.3.0.bn1"
  int64_t in = 1, out = 1, kernel = 1, stride = 1, pad = 0;
};

/// y = relu(main(x) + (downsample ? downsample(x) : x)); every unit of `main` but the last ends with ReLU.
struct BlockSpec {
  std::vector<ConvNormSpec> main;  ///< 2 (basic) or 3 (bottleneck) units
  std::optional<ConvNormSpec> downsample;
};

struct ResNetSpec {
  ConvNormSpec stem;
  bool max_pool = false;
  std::vector<BlockSpec> blocks;
  int64_t feature_width = 0;
};

/// Throws Error{usage} for an unknown arch. With the ImageNet stem the layers are named as nn.Sequential names them
/// when the max-pool keeps its place: layer1 is f.4.
ResNetSpec resnet_spec(const ModelConfig& config);

/// The convolution of a unit on an input [n,h,w,c].
ConvDesc conv_desc(const ConvNormSpec& spec, const Shape& x, DType dtype);
/// The max-pool behind the ImageNet stem.
MaxPoolDesc stem_pool_desc(const Shape& x, DType dtype);

/// Every convolution of the network on images [n,h,w,3], in the order of its units.
std::vector<ConvDesc> convolutions(const ModelConfig& config, const Shape& images, DType dtype);
/// Multiplications and additions of one pass, those with padding included.
double flops_of(const ConvDesc& desc);
/// Of all convolutions in a training step: forward, gradients of data (those of the images are not wanted) and filters.
double training_flops(const ModelConfig& config, const Shape& images);

}  // namespace dcl
