// The fused convolution of eigen, directly and by Winograd's algorithm: NaN comes through, since what broke must not
// look healthy when it is evaluated, and the number of threads changes nothing.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/registry.h"

namespace dcl {
namespace {

TensorRef filled(Backend& backend, Buffer& buffer, const Shape& shape, DType dtype, float value) {
  buffer = Buffer(backend, static_cast<size_t>(shape.elements()) * size_of(dtype));
  const TensorRef tensor = buffer.view(shape, dtype);
  backend.fill(tensor, value);
  return tensor;
}

/// y widened to f32, of filters of ones.
std::vector<float> outputs(Backend& backend, const ConvDesc& conv, TensorRef x, TensorRef bias) {
  const FusedConvDesc d{conv, /*relu=*/true, /*residual=*/false};
  Buffer of_filter, of_y, of_f32;
  const TensorRef filter = filled(backend, of_filter, conv.filter_shape(), DType::f32, 1);
  const TensorRef y = filled(backend, of_y, conv.y_shape(), conv.dtype, 1);
  Buffer packed(backend, backend.packed_filter_bytes(d)), workspace(backend, backend.fused_conv_workspace(d));
  const TensorRef packed_filter = packed.view({static_cast<int64_t>(packed.bytes())}, DType::u8);
  backend.pack_filter(d, filter, packed_filter);
  backend.fused_conv(d, x, packed_filter, bias, {}, y, {workspace.data(), workspace.bytes()});
  const TensorRef f32 = filled(backend, of_f32, conv.y_shape(), DType::f32, 0);
  backend.cast(y, f32);
  std::vector<float> host(static_cast<size_t>(f32.shape.elements()));
  backend.copy_out(host.data(), f32);
  return host;
}

/// The first output pixel's channels, of ones everywhere but for the first value of x or of the bias.
std::vector<float> first_outputs(Backend& backend, const ConvDesc& conv, float first_x, float first_bias) {
  Buffer of_x, of_bias;
  const TensorRef x = filled(backend, of_x, conv.x_shape(), conv.dtype, 1);
  const TensorRef bias = filled(backend, of_bias, {conv.k}, DType::f32, 1);
  backend.fill({x.data, {1}, conv.dtype}, first_x);
  backend.fill({bias.data, {1}, DType::f32}, first_bias);
  std::vector<float> all = outputs(backend, conv, x, bias);
  all.resize(static_cast<size_t>(conv.k));
  return all;
}

TEST(FusedConvolution, NanComesThrough) {
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

/// With more threads than blocks of pixels, blocks are cut by channels too, each of which has a bias of its own.
TEST(FusedConvolution, NumberOfThreadsChangesNothing) {
  const auto backend = make_backend("eigen");
  const ConvDesc conv{.n = 2, .h = 32, .w = 32, .c = 32, .k = 96, .r = 3, .s = 3, .stride = 1, .pad = 1};
  Buffer of_x, of_bias;
  const TensorRef x = filled(*backend, of_x, conv.x_shape(), conv.dtype, 1);
  const TensorRef bias = filled(*backend, of_bias, {conv.k}, DType::f32, 1);
  for (int64_t k = 0; k < conv.k; ++k) bias.as<float>()[k] = static_cast<float>(k);
  set_thread_count(1);
  const std::vector<float> one = outputs(*backend, conv, x, bias);
  for (const int threads : {3, 40}) {
    set_thread_count(threads);
    EXPECT_EQ(outputs(*backend, conv, x, bias), one) << threads;
  }
  set_thread_count(0);
  for (int64_t k = 0; k < conv.k; ++k) EXPECT_EQ(one[static_cast<size_t>(k)], 4 * 32 + static_cast<float>(k));
}

}  // namespace
}  // namespace dcl
