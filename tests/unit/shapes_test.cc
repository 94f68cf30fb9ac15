// The built-in data set: figures of equal area, images that depend on (seed, split, index) alone, balanced labels, and
// colours that say next to nothing about the class.
#include "data/shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/error.h"
#include "data/dataset.h"
#include "data/shape_figures.h"

namespace dcl {
namespace {

std::vector<uint8_t> drawn(uint64_t seed, ShapesSplit split, int64_t index, int32_t size) {
  std::vector<uint8_t> out(static_cast<size_t>(size) * static_cast<size_t>(size) * 3);
  draw_shape(seed, split, index, size, out.data());
  return out;
}

TEST(ShapeFigures, CoverTheSameArea) {
  constexpr int kSteps = 1500;
  constexpr float kHalf = 1.2f;
  for (int label = 0; label < kShapeClasses; ++label) {
    int64_t inside = 0;
    float reach = 0;
    for (int i = 0; i < kSteps; ++i) {
      for (int j = 0; j < kSteps; ++j) {
        const figures::Point p{(static_cast<float>(j) + 0.5f) / kSteps * 2 * kHalf - kHalf,
                               (static_cast<float>(i) + 0.5f) / kSteps * 2 * kHalf - kHalf};
        if (figures::distance(label, p) >= 0) continue;
        ++inside;
        reach = std::max(reach, figures::length(p));
      }
    }
    const double area = static_cast<double>(inside) * (2 * kHalf / kSteps) * (2 * kHalf / kSteps);
    EXPECT_NEAR(area, 1.0, 0.004) << shape_class_names()[static_cast<size_t>(label)];
    EXPECT_LE(reach, 1.0f) << shape_class_names()[static_cast<size_t>(label)];
  }
}

TEST(Shapes, AreAFunctionOfSeedSplitAndIndex) {
  const std::vector<uint8_t> image = drawn(7, ShapesSplit::train, 123, 32);
  EXPECT_EQ(drawn(7, ShapesSplit::train, 123, 32), image);
  EXPECT_NE(drawn(8, ShapesSplit::train, 123, 32), image);
  EXPECT_NE(drawn(7, ShapesSplit::test, 123, 32), image);
  EXPECT_NE(drawn(7, ShapesSplit::train, 133, 32), image);
}

/// FNV-1a over images of every class: these bits are promised to every machine and every later version.
TEST(Shapes, BitsAreFixed) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (int64_t index = 0; index < 20; ++index) {
    for (const uint8_t byte :
         drawn(1, index % 2 ? ShapesSplit::test : ShapesSplit::train, index, index < 10 ? 32 : 96)) {
      hash = (hash ^ byte) * 0x100000001B3u;
    }
  }
  EXPECT_EQ(hash, 0x814180494C6021A5u);
}

TEST(Shapes, DatasetIsBalancedNamedAndEqualToItsImages) {
  DatasetSpec spec;
  spec.split = "test";
  spec.shapes_count = 95;
  spec.shapes_size = 48;
  spec.shapes_seed = 5;
  const Dataset data = load_dataset(spec);
  ASSERT_EQ(data.size(), 95);
  EXPECT_EQ(data.classes, shape_class_names());
  EXPECT_EQ(data.labels[94], 4);
  EXPECT_EQ(data.names[94], "test/94");
  EXPECT_EQ(data.images[94], (PooledImage{94 * 48 * 48 * 3, 48, 48}));
  const std::vector<uint8_t> image = drawn(5, ShapesSplit::test, 94, 48);
  EXPECT_TRUE(std::equal(image.begin(), image.end(), data.image(94)));
  spec.max_per_class = 2;
  EXPECT_EQ(load_dataset(spec).size(), 20);
}

TEST(Shapes, ExtentsOutsideTheLimitsAreUsageErrors) {
  for (const auto& [count, size] : {std::pair<int64_t, int32_t>{0, 32}, {10, 15}, {10, 257}}) {
    DatasetSpec spec;
    spec.shapes_count = count;
    spec.shapes_size = size;
    EXPECT_THROW(load_dataset(spec), Error);
  }
}

/// 3-nearest-neighbour accuracy over colour histograms: what colours alone tell about the class.
TEST(Shapes, ColoursSayLittleAboutTheClass) {
  constexpr int kBins = 5, kTrain = 2000, kTest = 500;
  using Histogram = std::array<int, kBins * kBins * kBins>;
  const auto histogram = [](const std::vector<uint8_t>& image) {
    Histogram h{};
    for (size_t i = 0; i < image.size(); i += 3) {
      ++h[static_cast<size_t>(((image[i] * kBins >> 8) * kBins + (image[i + 1] * kBins >> 8)) * kBins +
                              (image[i + 2] * kBins >> 8))];
    }
    return h;
  };
  std::vector<Histogram> train;
  for (int i = 0; i < kTrain; ++i) train.push_back(histogram(drawn(0, ShapesSplit::train, i, 32)));
  int right = 0;
  for (int i = 0; i < kTest; ++i) {
    const Histogram h = histogram(drawn(0, ShapesSplit::test, i, 32));
    std::array<std::pair<int64_t, int>, 3> nearest;
    nearest.fill({INT64_MAX, 0});
    for (int j = 0; j < kTrain; ++j) {
      int64_t distance = 0;
      for (size_t b = 0; b < h.size(); ++b) distance += std::abs(h[b] - train[static_cast<size_t>(j)][b]);
      if (distance < nearest[2].first) {
        nearest[2] = {distance, j % kShapeClasses};
        std::sort(nearest.begin(), nearest.end());
      }
    }
    const int winner = nearest[1].second == nearest[2].second ? nearest[1].second : nearest[0].second;
    right += winner == i % kShapeClasses;
  }
  EXPECT_LT(right, kTest / 5);  // chance: a tenth
}

}  // namespace
}  // namespace dcl
