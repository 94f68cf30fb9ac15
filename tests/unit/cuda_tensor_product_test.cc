// Split products on tensor cores as the kernels use them, and planted faults that the emulator must find in their use.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "cuda/tensor_product.h"
#include "math/philox.h"

namespace dcl::cuda {
namespace {

struct Factors {
  std::vector<float> a = std::vector<float>(16 * 8), b = std::vector<float>(8 * 8);
  explicit Factors(uint64_t seed) {
    RandomStream stream(seed, RandomPurpose::test);
    for (auto* of : {&a, &b})
      for (float& x : *of) x = static_cast<float>(stream.uniform(-1, 1));
  }
};

/// c[16][8] = a[16][8] b[8][8], one warp. parts: of the factors; 1 is what a tensor core does by itself.
__global__ void multiply(const float* a, const float* b, float* c, int parts) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  FactorsOfA of_a[1];
  FactorsOfB of_b[1];
  for (int i = 0; i < 4; ++i) of_a[0].set(i, a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) of_b[0].set(i, b[(t + i * 4) * 8 + g]);
  if (parts == 1)
    for (int i = 0; i < 4; ++i) of_a[0].low[i] = of_b[0].low[i / 2] = 0;
  float sum[1][1][4] = {};
  split_products(sum, of_a, of_b);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[0][0][i];
}

/// The largest error of an element, in units of the sum of its products' magnitudes.
double error_of_parts(int parts) {
  double most = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Factors f(seed);
    std::vector<float> c(16 * 8);
    launch(multiply, 1, 32, 0, nullptr, f.a.data(), f.b.data(), c.data(), parts);
    for (size_t i = 0; i < 16; ++i)
      for (size_t j = 0; j < 8; ++j) {
        double want = 0, magnitude = 0;
        for (size_t k = 0; k < 8; ++k) {
          const double product = static_cast<double>(f.a[i * 8 + k]) * static_cast<double>(f.b[k * 8 + j]);
          want += product, magnitude += std::abs(product);
        }
        most = std::max(most, std::abs(static_cast<double>(c[i * 8 + j]) - want) / magnitude);
      }
  }
  return most;
}

TEST(TensorProduct, TwoPartsOfAFactorKeepWhatOneLoses) {
  EXPECT_LT(error_of_parts(2), std::exp2(-20));
  EXPECT_GT(error_of_parts(1), std::exp2(-13));
}

__global__ void multiply_whole_factors() {
  float c[4] = {};
  const unsigned third = __float_as_uint(1.0f / 3);
  const unsigned a[4] = {third, third, third, third}, b[2] = {third, third};
  WarpProducts<1> products;
  products.add(c, a, b);
  products.end();
}

TEST(TensorProduct, FactorsThatAreNoTf32NumbersAreReported) {
  EXPECT_THROW(launch(multiply_whole_factors, 1, 32, 0, nullptr), Error);
}

/// After products, in which lane 0 is, an operation in which it is not.
__global__ void multiply_then_shuffle(int* out) {
  float c[4] = {};
  const unsigned a[4] = {}, b[2] = {};
  WarpProducts<1> products;
  products.add(c, a, b);
  products.end();
  const int lane = static_cast<int>(threadIdx.x);
  if (lane > 0) out[lane] = __shfl_xor_sync(0xfffffffeu, lane, lane < 4 ? 0 : 1);
}

TEST(TensorProduct, LanesGoOnWithoutTheFirst) {
  std::vector<int> out(32, -1);
  launch(multiply_then_shuffle, 1, 32, 0, nullptr, out.data());
  for (int lane = 1; lane < 32; ++lane) EXPECT_EQ(out[static_cast<size_t>(lane)], lane < 4 ? lane : lane ^ 1);
}

/// Two groups of copies, of which all but the last `underway` are awaited.
template <int Underway>
__global__ void copy_two(const float* from, float* to) {
  DCL_SHARED(float, tile, [2][128]);
  const int at = static_cast<int>(threadIdx.x) * 4;
  for (auto& line : tile) {
    copy_or_clear<16>(line + at, from + at, true);
    end_copies();
  }
  await_copies<Underway>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) {
    to[at + i] = tile[0][127 - at - i];
    to[128 + at + i] = tile[1][127 - at - i];
  }
}

TEST(TensorProduct, CopiesAreThereWhenTheyWereAwaited) {
  std::vector<float> from(128), to(256);
  for (size_t i = 0; i < 128; ++i) from[i] = static_cast<float>(i);
  launch(copy_two<0>, 1, 32, 0, nullptr, from.data(), to.data());
  for (size_t i = 0; i < 256; ++i) EXPECT_EQ(to[i], from[127 - i % 128]);
  launch(copy_two<1>, 1, 32, 0, nullptr, from.data(), to.data());
  for (size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(to[i], from[127 - i]);
    EXPECT_TRUE(std::isnan(to[128 + i]));
  }
}

__global__ void clear_some(float* to) {
  DCL_SHARED(float, tile, [32]);
  copy_or_clear<4>(tile + threadIdx.x, to, threadIdx.x % 2 == 0);
  end_copies();
  await_copies<0>();
  to[threadIdx.x + 1] = tile[threadIdx.x];
}

TEST(TensorProduct, WhatIsNotCopiedIsZero) {
  std::vector<float> to(33, 7);
  launch(clear_some, 1, 32, 0, nullptr, to.data());
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(to[i + 1], i % 2 == 0 ? 7 : 0);
}

}  // namespace
}  // namespace dcl::cuda
