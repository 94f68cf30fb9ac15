// Readers of the STL-10 and CIFAR binaries against small files written here: layout, order, labels, limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "data/dataset.h"
#include "support/process.h"

namespace dcl {
namespace {

using test::TemporaryFolder;
using test::write_text;

/// A value that depends on every coordinate, so that a wrong layout cannot agree.
uint8_t pixel(int image, int row, int col, int channel) {
  return static_cast<uint8_t>(image * 101 + row * 7 + col * 13 + channel * 59);
}

std::string stl_images(int first, int count) {
  std::string out;
  for (int i = first; i < first + count; ++i)
    for (int c = 0; c < 3; ++c)
      for (int col = 0; col < 96; ++col)
        for (int row = 0; row < 96; ++row) out += static_cast<char>(pixel(i, row, col, c));
  return out;
}

std::string cifar_records(int first, const std::string& labels, const std::string& coarse = "") {
  std::string out;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!coarse.empty()) out += coarse[i];
    out += labels[i];
    for (int c = 0; c < 3; ++c)
      for (int row = 0; row < 32; ++row)
        for (int col = 0; col < 32; ++col) out += static_cast<char>(pixel(first + static_cast<int>(i), row, col, c));
  }
  return out;
}

void expect_image(const Dataset& data, int64_t at, int image, int side) {
  const PooledImage& place = data.images[static_cast<size_t>(at)];
  ASSERT_EQ(place.h, side);
  ASSERT_EQ(place.w, side);
  const uint8_t* pixels = data.image(at);
  for (int row = 0; row < side; ++row)
    for (int col = 0; col < side; ++col)
      for (int c = 0; c < 3; ++c) ASSERT_EQ(*pixels++, pixel(image, row, col, c)) << row << ' ' << col << ' ' << c;
}

DatasetSpec spec_of(const std::string& name, const std::string& dir, const std::string& split) {
  DatasetSpec spec;
  spec.name = name;
  spec.dir = dir;
  spec.split = split;
  return spec;
}

class Stl10 : public testing::Test {
 protected:
  void SetUp() override {
    write_text(folder_ / "train_X.bin", stl_images(0, 4));
    write_text(folder_ / "train_y.bin", "\x01\x0A\x02\x01");
    write_text(folder_ / "unlabeled_X.bin", stl_images(10, 3));
    write_text(folder_ / "test_X.bin", stl_images(20, 2));
    write_text(folder_ / "test_y.bin", "\x05\x06");
  }
  TemporaryFolder folder_;
};

TEST_F(Stl10, TrainHasColumnMajorPlanesAndLabelsFromOne) {
  const Dataset data = load_dataset(spec_of("stl10", folder_.path(), "train"));
  ASSERT_EQ(data.size(), 4);
  for (int i = 0; i < 4; ++i) expect_image(data, i, i, 96);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 9, 1, 0}));
  EXPECT_EQ(data.classes.size(), 10u);
  EXPECT_EQ(data.classes.front(), "airplane");
  EXPECT_EQ(data.names[3], "train/3");
  EXPECT_TRUE(data.labelled());
  EXPECT_TRUE(data.uniform());
  EXPECT_EQ(data.pool().shape, Shape({4 * 27648}));
}

TEST_F(Stl10, TrainPlusUnlabeledKeepsTheOrderOfThePublishedCode) {
  const Dataset data = load_dataset(spec_of("stl10", folder_.path(), "train+unlabeled"));
  ASSERT_EQ(data.size(), 7);
  expect_image(data, 3, 3, 96);
  expect_image(data, 4, 10, 96);
  expect_image(data, 6, 12, 96);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 9, 1, 0, -1, -1, -1}));
  EXPECT_EQ(data.names[4], "unlabeled/0");
  EXPECT_FALSE(data.labelled());
  // One of the six pairs of labels 0, 9, 1, 0.
  EXPECT_NEAR(data.same_class_probability().value(), 1.0 / 6, 1e-12);
}

TEST_F(Stl10, ImagesWithoutLabelsHaveNoClassesToShare) {
  EXPECT_FALSE(load_dataset(spec_of("stl10", folder_.path(), "unlabeled")).same_class_probability());
}

TEST_F(Stl10, UnlabeledAloneHasNoClasses) {
  const Dataset data = load_dataset(spec_of("stl10", folder_.path(), "unlabeled"));
  EXPECT_EQ(data.size(), 3);
  EXPECT_TRUE(data.classes.empty());
  DatasetSpec limited = spec_of("stl10", folder_.path(), "unlabeled");
  limited.max_per_class = 1;
  EXPECT_THROW(load_dataset(limited), Error);
}

TEST_F(Stl10, LimitsTakeTheFirstOfEachClassAndLeaveUnlabelledImages) {
  DatasetSpec spec = spec_of("stl10", folder_.path(), "train+unlabeled");
  spec.max_per_class = 1;
  Dataset data = load_dataset(spec);
  EXPECT_EQ(data.names,
            (std::vector<std::string>{"train/0", "train/1", "train/2", "unlabeled/0", "unlabeled/1", "unlabeled/2"}));
  expect_image(data, 3, 10, 96);
  spec.max_images = 4;
  data = load_dataset(spec);
  EXPECT_EQ(data.size(), 4);
  EXPECT_EQ(data.names.back(), "unlabeled/0");
}

TEST_F(Stl10, WhatIsHeldOutAndTheRestAreAllImagesOnce) {
  DatasetSpec spec{.name = "shapes", .split = "train", .holdout = 0.25, .shapes_count = 103, .shapes_size = 16};
  const Dataset rest = load_dataset(spec);
  spec.held_out = true;
  const Dataset held = load_dataset(spec);
  EXPECT_EQ(held.split, "train (held out)");
  EXPECT_EQ(rest.size() + held.size(), 103);
  std::set<std::string> names(rest.names.begin(), rest.names.end());
  names.insert(held.names.begin(), held.names.end());
  EXPECT_EQ(names.size(), 103u);
  for (int32_t label = 0; label < 10; ++label) {
    const int64_t ours = std::ranges::count(held.labels, label), others = std::ranges::count(rest.labels, label);
    EXPECT_EQ(ours, (ours + others) / 4) << label;
  }
  spec.max_per_class = 1;
  EXPECT_EQ(load_dataset(spec).size(), 10) << "of what is held out";
}

TEST_F(Stl10, ImagesWithoutLabelsAreNotHeldOut) {
  DatasetSpec spec{.name = "stl10", .dir = folder_.path(), .split = "train+unlabeled"};
  const Dataset all = load_dataset(spec);
  spec.holdout = 0.5;
  const Dataset rest = load_dataset(spec);
  EXPECT_EQ(std::ranges::count(rest.labels, kUnknownLabel), std::ranges::count(all.labels, kUnknownLabel));
  EXPECT_LT(rest.size(), all.size());
  spec.held_out = true;
  const Dataset held = load_dataset(spec);
  EXPECT_TRUE(held.labelled());
  EXPECT_EQ(rest.size() + held.size(), all.size());
  spec.split = "unlabeled";
  EXPECT_THROW(load_dataset(spec), Error);
}

TEST_F(Stl10, SubsetHasTheChosenImagesInTheirOrder) {
  const Dataset all = load_dataset(spec_of("stl10", folder_.path(), "train"));
  const Dataset some = all.subset(std::vector<int32_t>{3, 0, 1});
  ASSERT_EQ(some.size(), 3);
  expect_image(some, 0, 3, 96);
  expect_image(some, 1, 0, 96);
  expect_image(some, 2, 1, 96);
  EXPECT_EQ(some.pixels.size(), 3 * 27648);
  EXPECT_EQ(some.labels, (std::vector<int32_t>{0, 0, 9}));
  EXPECT_EQ(some.names, (std::vector<std::string>{"train/3", "train/0", "train/1"}));
  EXPECT_EQ(some.classes, all.classes);
  EXPECT_EQ(some.split, "train");
  for (const int32_t wrong : {-1, 4}) EXPECT_THROW(all.subset(std::vector<int32_t>{0, wrong}), Error);
}

TEST_F(Stl10, FindsTheFolderOfThePublishedArchiveAndItsClassNames) {
  std::filesystem::create_directory(folder_ / "inner");
  const std::string published = folder_ / "inner/stl10_binary";
  std::filesystem::create_directory(published);
  write_text(published + "/test_X.bin", stl_images(20, 2));
  write_text(published + "/test_y.bin", "\x05\x06");
  write_text(published + "/class_names.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  const Dataset data = load_dataset(spec_of("stl10", folder_ / "inner", "test"));
  expect_image(data, 1, 21, 96);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(data.classes[5], "f");
}

TEST(Cifar10, ReadsFiveBatchesInOrder) {
  const TemporaryFolder folder;
  for (int batch = 0; batch < 5; ++batch) {
    write_text(folder / ("data_batch_" + std::to_string(batch + 1) + ".bin"),
               cifar_records(2 * batch, {static_cast<char>(batch), static_cast<char>(9 - batch)}));
  }
  write_text(folder / "test_batch.bin", cifar_records(50, {7}));
  const Dataset train = load_dataset(spec_of("cifar10", folder.path(), "train"));
  ASSERT_EQ(train.size(), 10);
  for (int i = 0; i < 10; ++i) expect_image(train, i, i, 32);
  EXPECT_EQ(train.labels, (std::vector<int32_t>{0, 9, 1, 8, 2, 7, 3, 6, 4, 5}));
  EXPECT_EQ(train.names[7], "train/7");
  EXPECT_EQ(train.classes[9], "truck");
  const Dataset test = load_dataset(spec_of("cifar10", folder.path(), "test"));
  EXPECT_EQ(test.labels, std::vector<int32_t>{7});
  expect_image(test, 0, 50, 32);
}

TEST(Cifar100, TakesTheFineLabel) {
  const TemporaryFolder folder;
  write_text(folder / "train.bin", cifar_records(0, {99, 0, 42}, {19, 1, 2}));
  const Dataset data = load_dataset(spec_of("cifar100", folder.path(), "train"));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{99, 0, 42}));
  EXPECT_EQ(data.classes.size(), 100u);
  for (int i = 0; i < 3; ++i) expect_image(data, i, i, 32);
}

/// What load_dataset() says; empty when it loads.
std::string refusal(const DatasetSpec& spec) {
  try {
    load_dataset(spec);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    return error.what();
  }
  return "";
}

TEST_F(Stl10, LabelsBelowTheFirstAndAboveTheLastClassAreRefused) {
  for (const char bad : {'\x00', '\x0B'}) {
    write_text(folder_ / "train_y.bin", std::string("\x01\x0A\x02") + bad);
    EXPECT_NE(refusal(spec_of("stl10", folder_.path(), "train")).find("at byte 3, expected 1..10"), std::string::npos);
  }
}

TEST(Cifar10, TheFirstLabelAboveTheClassesIsRefused) {
  const TemporaryFolder folder;
  write_text(folder / "test_batch.bin", cifar_records(0, "\x09"));
  EXPECT_EQ(refusal(spec_of("cifar10", folder.path(), "test")), "");
  write_text(folder / "test_batch.bin", cifar_records(0, "\x0A"));
  EXPECT_NE(refusal(spec_of("cifar10", folder.path(), "test")).find("label 10 in record 0, expected 0..9"),
            std::string::npos);
}

TEST(DatasetSpecs, UnknownNamesAndSplitsAreUsageErrors) {
  const auto kind_of = [](const DatasetSpec& spec) {
    try {
      load_dataset(spec);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  EXPECT_EQ(kind_of(spec_of("mnist", "/tmp", "train")), ErrorKind::usage);
  EXPECT_EQ(kind_of(spec_of("stl10", "", "train")), ErrorKind::usage);
  EXPECT_EQ(kind_of(spec_of("stl10", "/tmp", "val")), ErrorKind::usage);
  EXPECT_EQ(kind_of(spec_of("cifar10", "/tmp", "unlabeled")), ErrorKind::usage);
  EXPECT_EQ(kind_of(spec_of("shapes", "", "val")), ErrorKind::usage);
  DatasetSpec negative = spec_of("shapes", "", "train");
  negative.max_images = -1;
  EXPECT_EQ(kind_of(negative), ErrorKind::usage);
}

}  // namespace
}  // namespace dcl
