// The kernels of Winograd convolution compiled for vectors of 8 and of 16 floats, side by side on a processor with
// AVX2: the code that AVX-512 runs gives the same bits, whatever the remainder of a row block or the border of an
// image.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "eigen/kernels/winograd.h"
#include "math/bfloat16.h"
#include "math/philox.h"

namespace dcl::kernels {

namespace v3 {
extern const WinogradTable winograd_table;
}
namespace wide {
extern const WinogradTable winograd_table;
}

namespace {

constexpr int64_t kChannels = 64, kPosition = kChannels * 3 + 16;

std::vector<float> random_values(int64_t count, uint64_t seed) {
  RandomStream stream(seed, RandomPurpose::test);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(stream.uniform(-1, 1));
  return values;
}

class WinogradWidths : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "no AVX2";
#endif
  }
  static const WinogradTransforms& of(const WinogradTable& kernels) {
    return GetParam() == 2 ? kernels.tiles_of_2 : kernels.tiles_of_4;
  }

  /// The same call on both, into memory that holds the same before.
  template <class Call>
  static void expect_same(int64_t floats, Call&& call) {
    std::vector<float> narrow = random_values(floats, 9), broad = narrow;
    call(v3::winograd_table, narrow.data());
    call(wide::winograd_table, broad.data());
    EXPECT_NE(narrow, random_values(floats, 9));
    EXPECT_EQ(std::memcmp(narrow.data(), broad.data(), narrow.size() * sizeof(float)), 0);  // NaN too: bf16 in pairs
  }

  const int tile_ = GetParam(), window_ = tile_ + 2;
  const std::vector<float> image_ = random_values(8 * 8 * kChannels, 1);
  const std::vector<bf16> halves_{image_.begin(), image_.end()};
  const std::vector<float> matrices_ = random_values(window_ * window_ * kPosition, 2);

  template <class Byte>
  WinogradPixels<Byte> pixels(Byte* origin, int size, int cut, bool in_bf16) const {
    const int64_t pixel = kChannels * (in_bf16 ? 2 : 4);
    return {origin, 8 * pixel, pixel, cut, size - cut / 2, cut / 2, size - cut, kChannels, in_bf16};
  }
  const char* image(bool as_bf16) const {
    return as_bf16 ? reinterpret_cast<const char*>(halves_.data()) : reinterpret_cast<const char*>(image_.data());
  }
};

TEST_P(WinogradWidths, TransformTilesAlike) {
  for (const int which : {0, 1, 2, 3}) {
    const int cut = which % 2;
    const bool in_bf16 = which >= 2;
    expect_same(window_ * window_ * kPosition, [&](const WinogradTable& kernels, float* to) {
      of(kernels).input(pixels(image(in_bf16), window_, cut, in_bf16), to, kPosition);
    });
    expect_same(window_ * window_ * kPosition, [&](const WinogradTable& kernels, float* to) {
      of(kernels).gradient(pixels(image(in_bf16), tile_, cut, in_bf16), to, kPosition);
    });
    for (const bool add : {false, true}) {
      WinogradEpilogue epilogue{.add = add, .relu = !add};
      if (add) epilogue.bias = image_.data();
      if (!add) epilogue.residual = image(in_bf16);
      expect_same(8 * 8 * kChannels, [&](const WinogradTable& kernels, float* to) {
        of(kernels).inverse_output(matrices_.data(), kPosition,
                                   pixels(reinterpret_cast<char*>(to), tile_, cut, in_bf16), epilogue);
      });
      expect_same(9 * kChannels, [&](const WinogradTable& kernels, float* to) {
        of(kernels).inverse_filter({matrices_.data(), kPosition, kChannels, 2}, to, kChannels, kChannels, add);
      });
    }
  }
}

TEST_P(WinogradWidths, TransformFiltersAlike) {
  constexpr int64_t kInputs = 5, kOutputs = 32;
  const std::vector<float> filter = random_values(kOutputs * 9 * kInputs, 3);
  const WinogradFilter from{filter.data(), kInputs, 9 * kInputs, 1, kInputs};
  const auto transformed = [&](const WinogradTable& kernels) {
    const int panel = kernels.columns_per_panel;
    std::vector<float> plain;  // [position][input][output]
    std::vector<float> panels(static_cast<size_t>(window_ * window_ * kInputs * kOutputs));
    for (int64_t output = 0; output < kOutputs; output += panel) {
      WinogradFilter part = from;
      part.data += output * part.output;
      of(kernels).filter(part, panels.data() + output * kInputs, kInputs * kOutputs);
    }
    for (int position = 0; position < window_ * window_; ++position)
      for (int64_t input = 0; input < kInputs; ++input)
        for (int64_t output = 0; output < kOutputs; ++output)
          plain.push_back(panels[static_cast<size_t>(position * kInputs * kOutputs + output / panel * panel * kInputs +
                                                     input * panel + output % panel)]);
    return plain;
  };
  EXPECT_EQ(transformed(v3::winograd_table), transformed(wide::winograd_table));
}

TEST_P(WinogradWidths, MultiplyAlike) {
  constexpr int64_t kColumns = 64, kSteps = 37;
  const std::vector<float> b = random_values(kSteps * kColumns, 4);
  for (const bool rows_together : {false, true})
    for (int64_t rows = 1; rows <= 26; ++rows) {
      const std::vector<float> a = random_values(rows * kSteps, 5);
      for (const bool add : {false, true})
        expect_same(rows * kColumns, [&](const WinogradTable& kernels, float* to) {
          WinogradProduct product;
          product.rows = rows;
          product.columns = kColumns;
          product.steps = kSteps;
          product.a = a.data();
          product.a_row = rows_together ? 1 : kSteps;
          product.a_step = rows_together ? rows : 1;
          product.b = b.data();
          product.b_panel = kernels.columns_per_panel;
          product.b_step = kColumns;
          product.c = to;
          product.c_row = kColumns;
          product.add = add;
          kernels.multiply(product);
        });
    }
}

INSTANTIATE_TEST_SUITE_P(Tiles, WinogradWidths, testing::Values(2, 4));

}  // namespace
}  // namespace dcl::kernels
