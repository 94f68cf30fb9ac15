// Which network and which images a benchmark takes, and the network's distinct convolutions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "nn/resnet.h"

namespace dcl::bench {

/// $DCL_BENCH_NETWORK, such as resnet18/imagenet, else ResNet-50 with the CIFAR stem.
inline ModelConfig bench_network() {
  ModelConfig config;
  const char* named = std::getenv("DCL_BENCH_NETWORK");
  if (!named || !*named) return config;
  const std::string text = named;
  const size_t slash = text.find('/');
  config.arch = text.substr(0, slash);
  if (slash != std::string::npos) config.stem = stem_from_name(text.substr(slash + 1));
  feature_width(config);  // throws for what there is not
  return config;
}

/// Images and their height and width, as 8x96,1x224; `name` is what the message of Error{usage} says it was.
inline std::vector<std::pair<int64_t, int64_t>> read_images(const std::string& name, const std::string& value) {
  std::istringstream text(value);
  std::vector<std::pair<int64_t, int64_t>> all;
  int64_t images = 0, pixels = 0;
  char by = 0, comma = ',';
  while (comma == ',' && text >> images >> by >> pixels && by == 'x' && images > 0 && pixels > 0) {
    all.emplace_back(images, pixels);
    comma = 0;
    text >> comma;
  }
  if (!text.eof() || comma != 0)
    fail(ErrorKind::usage, name + " is '" + text.str() + "', expected images x pixels as 8x96,1x224");
  return all;
}

/// Of the environment variable `name`, else of `usual`.
inline std::vector<std::pair<int64_t, int64_t>> bench_images(const char* name, const std::string& usual) {
  const char* given = std::getenv(name);
  return read_images(name, given && *given ? given : usual);
}

struct CountedConv {
  ConvDesc desc;
  int count = 1;
};

/// For `batch` square images of `size` pixels; in the order of the network.
inline std::vector<CountedConv> counted_convolutions(const ModelConfig& network, int64_t batch, int64_t size,
                                                     DType dtype) {
  std::vector<CountedConv> counted;
  for (const ConvDesc& d : convolutions(network, {batch, size, size, 3}, dtype)) {
    const auto known = std::ranges::find(counted, d, &CountedConv::desc);
    known == counted.end() ? void(counted.push_back({d, 1})) : void(++known->count);
  }
  return counted;
}

struct NamedPass {
  ConvPass pass;
  const char* name;
};
/// Those of training, in their order; inference has the first alone.
inline constexpr NamedPass kPasses[] = {
    {ConvPass::forward, "forward"}, {ConvPass::backward_data, "data"}, {ConvPass::backward_filter, "filter"}};

/// The first convolution's input is the images: no gradient is wanted there.
inline bool has_pass(const ConvDesc& d, ConvPass pass) { return pass != ConvPass::backward_data || d.c != 3; }

inline std::string text_of(const ConvDesc& d) {
  std::ostringstream text;
  text << 'c' << d.c << " k" << d.k << " h" << d.h << " r" << d.r << " stride" << d.stride;
  return text.str();
}

}  // namespace dcl::bench
