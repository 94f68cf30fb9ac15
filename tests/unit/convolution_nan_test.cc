// NaN comes through a fused convolution: its ReLU keeps it, and so does rounding to bf16, by every way that the kernels
// have. A training run that broke must not look healthy when it is evaluated.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/registry.h"

namespace dcl {
namespace {

TensorRef filled(Backend& backend, Buffer& buffer, const Shape& shape, DType dtype, float value) {
  buffer = Buffer(backend, static_cast<size_t>(shape.elements()) * size_of(dtype));
  const TensorRef tensor = buffer.view(shape, dtype);
  backend.fill(tensor, value);
  return tensor;
}

/// The first output pixel's channels, of ones everywhere but for the first value of x or of the bias.
std::vector<float> first_outputs(Backend& backend, const ConvDesc& conv, float first_x, float first_bias) {
  const FusedConvDesc d{conv, /*relu=*/true, /*residual=*/false};
  Buffer of_x, of_filter, of_bias, of_y, of_f32;
  const TensorRef x = filled(backend, of_x, conv.x_shape(), conv.dtype, 1);
  backend.fill({x.data, {1}, conv.dtype}, first_x);
  const TensorRef filter = filled(backend, of_filter, conv.filter_shape(), DType::f32, 1);
  const TensorRef bias = filled(backend, of_bias, {conv.k}, DType::f32, 1);
  backend.fill({bias.data, {1}, DType::f32}, first_bias);
  const TensorRef y = filled(backend, of_y, conv.y_shape(), conv.dtype, 1);
  Buffer packed(backend, backend.packed_filter_bytes(d)), workspace(backend, backend.fused_conv_workspace(d));
  const TensorRef packed_filter = packed.view({static_cast<int64_t>(packed.bytes())}, DType::u8);
  backend.pack_filter(d, filter, packed_filter);
  backend.fused_conv(d, x, packed_filter, bias, {}, y, {workspace.data(), workspace.bytes()});
  const TensorRef f32 = filled(backend, of_f32, {conv.k}, DType::f32, 0);
  backend.cast({y.data, {conv.k}, conv.dtype}, f32);
  std::vector<float> host(static_cast<size_t>(conv.k));
  backend.copy_out(host.data(), f32);
  return host;
}

TEST(ConvolutionNan, ComesThroughFusedConvolutions) {
  const auto backend = make_backend("eigen");
  ConvDesc few_pixels{.n = 1, .h = 5, .w = 5, .c = 3, .k = 7, .r = 3, .s = 3, .stride = 1, .pad = 1};
  ConvDesc by_winograd{.n = 2, .h = 32, .w = 32, .c = 32, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1};
  for (ConvDesc conv : {few_pixels, by_winograd})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      conv.dtype = dtype;
      const std::string which = "c " + std::to_string(conv.c) + ", " + std::string(name_of(dtype));
      for (const float value : first_outputs(*backend, conv, std::bit_cast<float>(0x7fc00000u), 1))
        EXPECT_TRUE(std::isnan(value)) << value << ", " << which;
      // Rounded as a number this one would become -0.
      const float all_ones = std::bit_cast<float>(0x7fffffffu);
      EXPECT_TRUE(std::isnan(first_outputs(*backend, conv, 1, all_ones)[0])) << which;
    }
}

}  // namespace
}  // namespace dcl
