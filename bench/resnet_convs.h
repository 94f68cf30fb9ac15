// The distinct convolutions of ResNet-50 with the CIFAR stem and how often each occurs.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "core/ops.h"

namespace dcl::bench {

struct CountedConv {
  ConvDesc desc;
  int count = 1;
};

/// For `batch` square images of `size` pixels; in the order of the network.
inline std::vector<CountedConv> resnet50_convs(int64_t batch, int64_t size, DType dtype) {
  std::vector<CountedConv> convs;
  const auto add = [&](int64_t h, int64_t c, int64_t k, int64_t window, int64_t stride) {
    const ConvDesc d{batch, h, h, c, k, window, window, stride, window / 2, dtype};
    for (CountedConv& known : convs)
      if (known.desc == d) {
        ++known.count;
        return;
      }
    convs.push_back({d, 1});
  };
  add(size, 3, 64, 3, 1);
  constexpr int kBlocks[] = {3, 4, 6, 3};
  int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t width = int64_t{64} << stage;
    for (int block = 0; block < kBlocks[stage]; ++block) {
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      add(size, in, width, 1, 1);
      add(size, width, width, 3, stride);
      if (block == 0) add(size, in, 4 * width, 1, stride);
      size = (size + stride - 1) / stride;
      add(size, width, 4 * width, 1, 1);
      in = 4 * width;
    }
  }
  return convs;
}

/// Multiplications and additions, those with padding included.
inline double flops_of(const ConvDesc& d) {
  return 2.0 * static_cast<double>(d.n * d.out_h() * d.out_w() * d.k * d.r * d.s * d.c);
}

/// The first convolution's input is the images: no gradient is wanted there.
inline bool has_pass(const ConvDesc& d, ConvPass pass) { return pass != ConvPass::backward_data || d.c != 3; }

inline std::string text_of(const ConvDesc& d) {
  std::ostringstream text;
  text << 'c' << d.c << " k" << d.k << " h" << d.h << " r" << d.r << " stride" << d.stride;
  return text.str();
}

}  // namespace dcl::bench
