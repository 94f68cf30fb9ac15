#include "nn/resnet.h"

#include "core/error.h"

namespace dcl {
namespace {

constexpr Architecture kArchitectures[] = {
    {"resnet18", false, {2, 2, 2, 2}},
    {"resnet34", false, {3, 4, 6, 3}},
    {"resnet50", true, {3, 4, 6, 3}},
    {"resnet101", true, {3, 4, 23, 3}},
};
constexpr int64_t kBottleneckExpansion = 4;
constexpr int64_t kStemWidth = 64;

const Architecture& architecture(const ModelConfig& config) {
  for (const Architecture& known : kArchitectures)
    if (known.name == config.arch) return known;
  fail(ErrorKind::usage,
       "unknown architecture '" + config.arch + "': expected resnet18, resnet34, resnet50 or resnet101");
}

ConvNormSpec unit(const std::string& block, int number, int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  const std::string index = std::to_string(number);
  return {block + "conv" + index, block + "bn" + index, in, out, kernel, stride, kernel / 2};
}

BlockSpec block_spec(const std::string& name, bool bottleneck, int64_t in, int64_t width, int64_t stride) {
  const int64_t out = bottleneck ? width * kBottleneckExpansion : width;
  BlockSpec block;
  if (bottleneck)
    block.main = {unit(name, 1, in, width, 1, 1), unit(name, 2, width, width, 3, stride),
                  unit(name, 3, width, out, 1, 1)};
  else
    block.main = {unit(name, 1, in, width, 3, stride), unit(name, 2, width, width, 3, 1)};
  if (stride != 1 || in != out)
    block.downsample = ConvNormSpec{name + "downsample.0", name + "downsample.1", in, out, 1, stride, 0};
  return block;
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

std::string_view name_of(Stem stem) { return stem == Stem::cifar ? "cifar" : "imagenet"; }

Stem stem_from_name(std::string_view name) {
  if (name == "cifar") return Stem::cifar;
  if (name == "imagenet") return Stem::imagenet;
  fail(ErrorKind::usage, "unknown stem '" + std::string(name) + "': expected cifar or imagenet");
}

int64_t feature_width(const ModelConfig& config) {
  return 8 * kStemWidth * (architecture(config).bottleneck ? kBottleneckExpansion : 1);
}

ResNetSpec resnet_spec(const ModelConfig& config) {
  const Architecture& arch = architecture(config);
  ResNetSpec spec;
  spec.max_pool = config.stem == Stem::imagenet;
  spec.stem = config.stem == Stem::cifar ? ConvNormSpec{"f.0", "f.1", 3, kStemWidth, 3, 1, 1}
                                         : ConvNormSpec{"f.0", "f.1", 3, kStemWidth, 7, 2, 3};
  const int first_layer = spec.max_pool ? 4 : 3;
  int64_t in = kStemWidth;
  for (int layer = 0; layer < 4; ++layer) {
    const int64_t width = kStemWidth << layer;
    for (int block = 0; block < arch.blocks[layer]; ++block) {
      const std::string name = "f." + std::to_string(first_layer + layer) + "." + std::to_string(block) + ".";
      const int64_t stride = layer > 0 && block == 0 ? 2 : 1;
      spec.blocks.push_back(block_spec(name, arch.bottleneck, in, width, stride));
      in = spec.blocks.back().main.back().out;
    }
  }
  spec.feature_width = in;
  return spec;
}

ConvDesc conv_desc(const ConvNormSpec& spec, const Shape& x, DType dtype) {
  return {.n = x[0],
          .h = x[1],
          .w = x[2],
          .c = spec.in,
          .k = spec.out,
          .r = spec.kernel,
          .s = spec.kernel,
          .stride = spec.stride,
          .pad = spec.pad,
          .dtype = dtype};
}

MaxPoolDesc stem_pool_desc(const Shape& x, DType dtype) {
  return {.n = x[0], .h = x[1], .w = x[2], .c = x[3], .window = 3, .stride = 2, .pad = 1, .dtype = dtype};
}

std::vector<ConvDesc> convolutions(const ModelConfig& config, const Shape& images, DType dtype) {
  std::vector<ConvDesc> all;
  const auto add = [&](const ConvNormSpec& unit, const Shape& x) {
    return all.emplace_back(conv_desc(unit, x, dtype)).y_shape();
  };
  const ResNetSpec spec = resnet_spec(config);
  Shape x = add(spec.stem, images);
  if (spec.max_pool) x = stem_pool_desc(x, dtype).y_shape();
  for (const BlockSpec& block : spec.blocks) {
    if (block.downsample) add(*block.downsample, x);
    for (const ConvNormSpec& unit : block.main) x = add(unit, x);
  }
  return all;
}

double flops_of(const ConvDesc& d) {
  return 2.0 * static_cast<double>(d.n * d.out_h() * d.out_w() * d.k * d.r * d.s * d.c);
}

double training_flops(const ModelConfig& config, const Shape& images) {
  double flops = 0;
  for (const ConvDesc& conv : convolutions(config, images, DType::f32)) flops += (flops == 0 ? 2 : 3) * flops_of(conv);
  return flops;
}

}  // namespace dcl
