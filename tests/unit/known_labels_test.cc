// Labels that an objective is told: shares, what is changed to what, and that one value of a setting extends another's.
#include "train/known_labels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>
#include <tuple>

#include "core/error.h"

namespace dcl {
namespace {

constexpr uint64_t kSeed = 17;

/// Of labels alone: there is no image to look at.
Dataset labelled(std::vector<int32_t> labels, int classes) {
  Dataset data{.name = "drawn", .split = "train", .labels = std::move(labels)};
  data.images.resize(data.labels.size());
  for (int c = 0; c < classes; ++c) data.classes.push_back("class " + std::to_string(c));
  return data;
}

/// Classes in turn.
Dataset in_turn(size_t images, int32_t classes) {
  std::vector<int32_t> labels(images);
  for (size_t i = 0; i < images; ++i) labels[i] = static_cast<int32_t>(i) % classes;
  return labelled(std::move(labels), classes);
}

int64_t differing(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::transform_reduce(a.begin(), a.end(), b.begin(), int64_t{0}, std::plus<>(), std::not_equal_to<>());
}

std::string usage_error(const Dataset& data, const LabelSettings& settings) {
  try {
    known_labels(data, settings, kSeed);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "no error";
}

TEST(KnownLabels, WholeOnesAreThoseOfTheData) {
  const Dataset data = labelled({1, kUnknownLabel, 0, 1, 1}, 2);
  const KnownLabels all = known_labels(data, {}, kSeed);
  EXPECT_EQ(all.labels, data.labels);
  EXPECT_EQ(all.labelled, 4);
  EXPECT_EQ(all.known, 4);
  EXPECT_EQ(all.changed, 0);
  EXPECT_EQ(all.pairs_told, 1);
  EXPECT_EQ(all.pairs_wrong, 0);
}

TEST(KnownLabels, NoiseChangesItsShareToAnyOtherClassAlike) {
  constexpr int64_t kImages = 20000, kClasses = 5;
  const Dataset data = in_turn(kImages, kClasses);
  for (const double noise : {0.05, 0.3, 0.9}) {
    const KnownLabels known = known_labels(data, {.noise = noise}, kSeed);
    EXPECT_EQ(known.known, kImages);
    EXPECT_EQ(known.changed, differing(known.labels, data.labels));
    const double deviation = std::sqrt(kImages * noise * (1 - noise));
    EXPECT_NEAR(static_cast<double>(known.changed), kImages * noise, 4 * deviation) << noise;
    std::array<std::array<double, kClasses>, kClasses> to{};
    for (size_t i = 0; i < kImages; ++i) {
      ASSERT_TRUE(known.labels[i] >= 0 && known.labels[i] < kClasses);
      if (known.labels[i] != data.labels[i])
        ++to[static_cast<size_t>(data.labels[i])][static_cast<size_t>(known.labels[i])];
    }
    double chi_square = 0;  // of which other class; twenty places in five rows
    for (const auto& row : to) {
      const double expected = std::accumulate(row.begin(), row.end(), 0.0) / (kClasses - 1);
      for (size_t c = 0; c < kClasses; ++c)
        if (&row != &to[c]) chi_square += (row[c] - expected) * (row[c] - expected) / expected;
    }
    EXPECT_LT(chi_square, 37.7) << noise;  // 15 degrees of freedom, p = 0.001
  }
}

TEST(KnownLabels, ImagesWithoutALabelGetNone) {
  std::vector<int32_t> labels(300, kUnknownLabel);
  std::fill_n(labels.begin(), 100, 1);
  const KnownLabels known = known_labels(labelled(labels, 3), {.noise = 0.9}, kSeed);
  EXPECT_TRUE(std::ranges::equal(std::span(known.labels).last(200), std::span(labels).last(200)));
  EXPECT_EQ(known.labelled, 100);
  EXPECT_EQ(known.known, 100);
  EXPECT_GT(known.changed, 50);
}

TEST(KnownLabels, TheFractionIsExactInEveryClass) {
  std::vector<int32_t> labels;  // classes of 1, 10, 37 and no images, and images without a label
  for (const auto& [label, count] : {std::pair{0, 1}, {1, 10}, {2, 37}, {kUnknownLabel, 20}})
    labels.insert(labels.end(), static_cast<size_t>(count), label);
  const Dataset data = labelled(std::move(labels), 4);
  for (const auto& [fraction, one, ten, many] :
       {std::tuple{0.1, 0, 1, 4}, {0.25, 0, 3, 9}, {0.5, 1, 5, 19}, {0.99, 1, 10, 37}, {1.0, 1, 10, 37}}) {
    const KnownLabels known = known_labels(data, {.fraction = fraction}, kSeed);
    EXPECT_EQ(std::ranges::count(known.labels, 0), one) << fraction;
    EXPECT_EQ(std::ranges::count(known.labels, 1), ten) << fraction;
    EXPECT_EQ(std::ranges::count(known.labels, 2), many) << fraction;
    EXPECT_EQ(known.known, one + ten + many);
    EXPECT_EQ(known.labelled, 48);
    EXPECT_EQ(known.changed, 0);
    EXPECT_EQ(known.pairs_wrong, 0);
    for (size_t i = 0; i < data.labels.size(); ++i)
      EXPECT_TRUE(known.labels[i] == data.labels[i] || known.labels[i] == kUnknownLabel) << i;
  }
}

TEST(KnownLabels, ASmallerValueIsContainedInALargerOne) {
  const Dataset data = in_turn(2000, 7);
  const KnownLabels some = known_labels(data, {.fraction = 0.1}, kSeed),
                    more = known_labels(data, {.fraction = 0.5}, kSeed);
  const KnownLabels little = known_labels(data, {.noise = 0.2}, kSeed),
                    much = known_labels(data, {.noise = 0.5}, kSeed);
  for (size_t i = 0; i < 2000; ++i) {
    if (some.labels[i] != kUnknownLabel) {
      ASSERT_EQ(more.labels[i], some.labels[i]) << i;
    }
    if (little.labels[i] != data.labels[i]) {
      ASSERT_EQ(much.labels[i], little.labels[i]) << i;
    }
  }
  EXPECT_LT(some.known, more.known);
  EXPECT_LT(little.changed, much.changed);
}

TEST(KnownLabels, BothTogetherAreEachByItself) {
  const Dataset data = in_turn(2000, 4);
  const KnownLabels both = known_labels(data, {0.3, 0.4}, kSeed);
  const KnownLabels noisy = known_labels(data, {.noise = 0.3}, kSeed),
                    few = known_labels(data, {.fraction = 0.4}, kSeed);
  int64_t changed = 0;
  for (size_t i = 0; i < 2000; ++i) {
    ASSERT_EQ(both.labels[i], few.labels[i] == kUnknownLabel ? kUnknownLabel : noisy.labels[i]) << i;
    changed += few.labels[i] != kUnknownLabel && noisy.labels[i] != data.labels[i];
  }
  EXPECT_EQ(both.known, 800);
  EXPECT_EQ(both.changed, changed);
  EXPECT_NEAR(static_cast<double>(changed), 240, 4 * std::sqrt(800 * 0.3 * 0.7))
      << "which are known does not depend on noise";
}

TEST(KnownLabels, AreOfSeedAndImageNumberAlone) {
  const Dataset data = in_turn(500, 10), first = in_turn(250, 10);
  const LabelSettings settings{0.4, 0.5}, noise{.noise = 0.4};
  const std::vector<int32_t> labels = known_labels(data, settings, kSeed).labels;
  EXPECT_EQ(known_labels(data, settings, kSeed).labels, labels);
  for (const uint64_t seed : {kSeed + 1, kSeed + (uint64_t{1} << 32)}) {
    const std::vector<int32_t> others = known_labels(data, settings, seed).labels;
    EXPECT_GT(differing(others, labels), 100) << seed;
  }
  const std::vector<int32_t> noisy = known_labels(data, noise, kSeed).labels;
  EXPECT_TRUE(std::ranges::equal(known_labels(first, noise, kSeed).labels, std::span(noisy).first(250)));
  // By a generator of its own, and promised to later versions.
  EXPECT_EQ(std::vector(noisy.begin(), noisy.begin() + 10), (std::vector<int32_t>{0, 1, 0, 5, 4, 5, 2, 8, 4, 9}));
  EXPECT_EQ(known_labels(in_turn(10, 1), {.fraction = 0.5}, kSeed).labels,
            (std::vector<int32_t>{0, -1, 0, 0, -1, 0, -1, -1, -1, 0}));
}

/// In a list of pairs, by the definition.
TEST(KnownLabels, SharesOfPairsAreCounted) {
  const Dataset data = in_turn(90, 3);
  const KnownLabels known = known_labels(data, {0.5, 0.6}, kSeed);
  double of_class = 0, of_label = 0, both = 0;
  for (size_t i = 0; i < 90; ++i)
    for (size_t j = 0; j < i; ++j) {
      const bool told = known.labels[i] != kUnknownLabel && known.labels[i] == known.labels[j];
      of_class += data.labels[i] == data.labels[j], of_label += told;
      both += told && data.labels[i] == data.labels[j];
    }
  EXPECT_DOUBLE_EQ(known.pairs_told, both / of_class);
  EXPECT_DOUBLE_EQ(known.pairs_wrong, 1 - both / of_label);
  EXPECT_GT(known.pairs_wrong, 0.1);
  EXPECT_EQ(known_labels(labelled({0, 1}, 2), {.noise = 0.5}, kSeed).pairs_told, 0) << "no class has a pair";
}

TEST(KnownLabels, TwoClassesAreExchangedAndOneHasNoOther) {
  const Dataset two = in_turn(1000, 2);
  const KnownLabels known = known_labels(two, {.noise = 0.5}, kSeed);
  EXPECT_NEAR(static_cast<double>(known.changed), 500, 4 * std::sqrt(250.0));
  EXPECT_TRUE(std::ranges::all_of(known.labels, [](int32_t label) { return label == 0 || label == 1; }));
  const Dataset one = in_turn(10, 1);
  EXPECT_EQ(usage_error(one, {.noise = 0.5}),
            "label_noise 0.5 changes labels to those of other classes, and 'drawn', split 'train', has 1 in all; leave "
            "it at 0");
  EXPECT_EQ(known_labels(one, {.fraction = 0.5}, kSeed).known, 5);
}

TEST(KnownLabels, WhatCannotBeIsNamed) {
  const Dataset data = in_turn(8, 2);
  for (const double noise : {-0.1, 1.0, static_cast<double>(NAN)})
    EXPECT_NE(usage_error(data, {.noise = noise}).find("expected a value in [0, 1)"), std::string::npos) << noise;
  for (const double fraction : {0.0, -1.0, 1.5, static_cast<double>(NAN)})
    EXPECT_NE(usage_error(data, {.fraction = fraction}).find("expected a value in (0, 1]"), std::string::npos)
        << fraction;
  EXPECT_EQ(usage_error(data, {.fraction = 0.1}),
            "label_fraction 0.1 leaves no label of 'drawn', split 'train': its largest class has 4 images; give a "
            "larger fraction");
}

}  // namespace
}  // namespace dcl
