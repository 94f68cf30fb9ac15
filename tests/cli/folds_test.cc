// dcl-linear --folds on a small STL-10: what each fold gives, against folders that hold its images alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/registry.h"
#include "support/cli.h"
#include "train/classifier_file.h"

namespace dcl::test {
namespace {

using nlohmann::json;

constexpr int kTrain = 40, kTest = 20, kFoldImages = 9;

/// One image of a split: coarse stripes of its class, and noise of its own.
std::string stl_image(int image, int label) {
  std::string planes;
  uint32_t noise = static_cast<uint32_t>(image) * 2654435761u + 1;
  for (int c = 0; c < 3; ++c)
    for (int col = 0; col < 96; ++col)
      for (int row = 0; row < 96; ++row) {
        noise = noise * 1664525u + 1013904223u;
        planes += static_cast<char>(col / 8 * (label + 1) * 9 + row / 24 * c * 40 + static_cast<int>(noise >> 26));
      }
  return planes;
}

int label_of(int image) { return image * 7 % 10; }

/// Writes STL-10's files of a split.
void write_split(const std::string& dir, const std::string& split, int first, const std::vector<int>& images) {
  std::string pixels, labels;
  for (const int image : images) {
    pixels += stl_image(first + image, label_of(image));
    labels += static_cast<char>(label_of(image) + 1);
  }
  write_text(dir + "/" + split + "_X.bin", pixels);
  write_text(dir + "/" + split + "_y.bin", labels);
}

std::vector<int> first_images(int count) {
  std::vector<int> images(static_cast<size_t>(count));
  std::iota(images.begin(), images.end(), 0);
  return images;
}

/// Images of fold k, unordered and overlapping with those of others.
std::vector<int> fold_images(int k) {
  std::vector<int> images;
  for (int i = 0; i < kFoldImages; ++i) images.push_back((k * 11 + i * 17) % kTrain);
  return images;
}

class FoldsOfStl10 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    write_split(folder_->path(), "train", 0, first_images(kTrain));
    write_split(folder_->path(), "test", 1000, first_images(kTest));
    std::string text;
    for (int k = 0; k < 10; ++k) {
      for (const int image : fold_images(k)) text += std::to_string(image) + " ";
      text += "\n";
    }
    write_text(*folder_ / "fold_indices.txt", text);
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::vector<std::string> linear(const std::string& data, const std::vector<std::string>& more) {
    std::vector<std::string> argv = {
        app("dcl-linear"), "--dataset", "stl10",       "--data", data,   "--untrained", "--arch",       "resnet18",
        "--seed",          "3",         "--eval_size", "16",     "--lr", "0.01",        "--batch_size", "4",
        "--image_size",    "16",        "--device",    "eigen"};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  static Outcome run_linear(const std::string& data, const std::vector<std::string>& more) {
    return run(linear(data, more));
  }
  static json json_of(const std::string& data, std::vector<std::string> more) {
    more.push_back("--json");
    return test::json_of(linear(data, more));
  }
  /// A folder of the images of fold k alone, and of the same test images.
  static std::string folder_of_fold(int k) {
    const std::string dir = *folder_ / ("fold" + std::to_string(k));
    std::filesystem::create_directories(dir);
    write_split(dir, "train", 0, fold_images(k));
    write_split(dir, "test", 1000, first_images(kTest));
    return dir;
  }
  static void expect_refused(const std::vector<std::string>& more, int code, const std::string& words) {
    test::expect_refused(linear(folder_->path(), more), code, {words});
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

/// Not one bit of batch and finetune may differ; the last bits of frozen features depend on how many images are
/// computed together.
TEST_F(FoldsOfStl10, AreWhatTheirImagesAloneGive) {
  for (const std::string protocol : {"batch", "frozen", "finetune"}) {
    const std::vector<std::string> settings = {"--protocol", protocol, "--epochs", "3"};
    std::vector<std::string> some = settings, one = settings;
    some.insert(some.end(), {"--folds", "7,2"});
    one.insert(one.end(), {"--folds", "2"});
    const json both = json_of(folder_->path(), some).at("folds");
    ASSERT_EQ(both.size(), 2u);
    const json second = json_of(folder_->path(), one).at("folds");
    EXPECT_EQ(second, json::array({both[1]})) << protocol << ": a fold depends on those before it";
    for (size_t i = 0; i < 2; ++i) {
      const int k = i == 0 ? 7 : 2;
      const json alone = json_of(folder_of_fold(k), settings);
      EXPECT_EQ(both[i].at("fold"), k);
      EXPECT_EQ(both[i].at("images"), kFoldImages);
      EXPECT_EQ(alone.at("images"), kFoldImages);
      EXPECT_EQ(both[i].at("top1"), alone.at("top1")) << protocol;
      EXPECT_EQ(both[i].at("top5"), alone.at("top5")) << protocol;
      const double loss = both[i].at("loss"), expected = alone.at("loss");
      EXPECT_NEAR(loss, expected, protocol == "frozen" ? 1e-4 : 0) << protocol;
    }
    const double losses[] = {both[0].at("loss"), both[1].at("loss")};
    EXPECT_GT(std::abs(losses[0] - losses[1]), 1e-2) << "folds that cannot be told apart";
  }
}

TEST_F(FoldsOfStl10, HaveMeanAndSampleDeviation) {
  const json result = json_of(folder_->path(), {"--protocol", "frozen", "--epochs", "20", "--folds", "all"});
  const json& folds = result.at("folds");
  ASSERT_EQ(folds.size(), 10u);
  std::vector<double> accuracies;
  for (int k = 0; k < 10; ++k) {
    EXPECT_EQ(folds[static_cast<size_t>(k)].at("fold"), k);
    accuracies.push_back(folds[static_cast<size_t>(k)].at("top1"));
  }
  // From all pairs: the sum of squared differences is n (n - 1) variances.
  double sum = 0, pairs = 0;
  for (const double a : accuracies) {
    sum += a;
    for (const double b : accuracies) pairs += (a - b) * (a - b) / 2;
  }
  EXPECT_NEAR(result.at("top1").get<double>(), sum / 10, 1e-9);
  EXPECT_NEAR(result.at("top1_std").get<double>(), std::sqrt(pairs / 90), 1e-9);
  EXPECT_GT(result.at("top1_std"), 0);
  EXPECT_GE(result.at("top5"), result.at("top1"));
  EXPECT_GE(result.at("top5_std"), 0);
  EXPECT_EQ(result.at("images"), kTrain);
  EXPECT_EQ(result.at("test_images"), kTest);
  EXPECT_EQ(result.at("protocol"), "frozen");
  EXPECT_EQ(result.at("epochs"), 20);
  EXPECT_EQ(result.at("max_per_class"), 0);
  const json one = json_of(folder_->path(), {"--protocol", "frozen", "--epochs", "20", "--folds", "4"});
  EXPECT_EQ(one.at("top1"), accuracies[4]);
  EXPECT_TRUE(one.at("top1_std").is_null()) << "one figure has no deviation";
}

TEST_F(FoldsOfStl10, AreALineEach) {
  const Outcome outcome =
      run_linear(folder_->path(), {"--protocol", "frozen", "--epochs", "4", "--eval_every", "2", "--folds", "1,8"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::string rest = outcome.out;
  for (const char* start :
       {"fold 1: top-1 ", "fold 8: top-1 ", "linear (protocol frozen, 4 epochs, 2 folds): top-1 "}) {
    EXPECT_EQ(rest.rfind(start, 0), 0u) << rest;
    rest.erase(0, rest.find('\n') + 1);
  }
  EXPECT_EQ(rest, "");
  EXPECT_NE(outcome.out.find("% +- "), std::string::npos) << outcome.out;
  for (const char* line : {"fold 1: linear epoch 2: ", "fold 1: linear epoch 4: ", "fold 8: linear epoch 2: "})
    EXPECT_NE(outcome.err.find(line), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("have 9 images; the published ones have 1000"), std::string::npos) << outcome.err;
  const Outcome one = run_linear(folder_->path(), {"--protocol", "frozen", "--epochs", "1", "--folds", "5"});
  EXPECT_NE(one.out.find("\nlinear (protocol frozen, 1 epochs, fold 5): top-1 "), std::string::npos) << one.out;
  EXPECT_EQ(one.out.find("+-"), std::string::npos) << one.out;
}

TEST_F(FoldsOfStl10, OneOfThemIsKept) {
  const std::string out = *folder_ / "fold.safetensors";
  const std::vector<std::string> settings = {"--protocol", "batch", "--epochs", "2"};
  std::vector<std::string> fold = settings, alone = settings;
  fold.insert(fold.end(), {"--folds", "6", "--out", out});
  alone.insert(alone.end(), {"--out", out + ".alone.safetensors"});
  const json result = json_of(folder_->path(), fold);
  json_of(folder_of_fold(6), alone);
  const auto backend = make_backend("eigen");
  const Classifier kept = load_classifier(*backend, out),
                   expected = load_classifier(*backend, out + ".alone.safetensors");
  EXPECT_EQ(kept.linear.weight, expected.linear.weight);
  const auto statistics = [](const Classifier& c) {
    const ConstTensorRef flat = c.encoder.statistics();
    return std::vector<float>(flat.as<float>(), flat.as<float>() + flat.shape.elements());
  };
  EXPECT_EQ(statistics(kept), statistics(expected));
  EXPECT_EQ(kept.metadata.at("dcl.fold"), "6");
  EXPECT_EQ(expected.metadata.count("dcl.fold"), 0u);
  EXPECT_EQ(json::parse(kept.metadata.at("dcl.top1")), result.at("top1"));
}

TEST_F(FoldsOfStl10, ThatMakeNoSenseAreUsageErrors) {
  for (const char* text : {"10", "-1", "0,", ",0", "0,,1", "x", "0 1", "ALL", "0-3", "1.0", "99999999999999999999"})
    expect_refused({std::string("--folds=") + text}, 2, "expected all, or whole numbers from 0 to 9");
  expect_refused({"--folds", "3,1,3"}, 2, "names fold 3 twice");
  expect_refused({"--folds", "all", "--out", *folder_ / "x.safetensors"}, 2, "--out keeps one classifier");
  EXPECT_FALSE(std::filesystem::exists(*folder_ / "x.safetensors"));
  expect_refused({"--folds", "all", "--max_per_class", "3"}, 2, "max_per_class");
  expect_refused({"--folds", "all", "--max_images", "3"}, 2, "max_images");
  expect_refused({"--folds", "all", "--split", "test"}, 2, "not of 'test'");
  for (const char* other : {"cifar10", "cifar100", "folder", "shapes"})
    expect_refused({"--folds", "0", "--dataset", other}, 2, "predefined for stl10 alone");
}

TEST_F(FoldsOfStl10, ThatAreDamagedOrMissingAreInvalidData) {
  const std::string path = *folder_ / "fold_indices.txt", good = read_text(path);
  const auto planted = [&](const std::string& text, const std::string& words) {
    write_text(path, text);
    expect_refused({"--folds", "0"}, 3, words);
  };
  planted(good.substr(0, good.rfind('\n', good.size() - 2) + 1), "fold_indices.txt' ends after line 9, expected 10");
  planted(good + good, "fold_indices.txt', line 11: ");
  planted("40 " + good, "fold_indices.txt', line 1: '40' is out of range; expected indices of images, 0..39");
  planted("-1 " + good, "fold_indices.txt', line 1: '-1' is out of range");
  planted("one " + good, "fold_indices.txt', line 1: 'one' is not a whole number");
  planted(good.substr(0, good.find(' ') + 1) + good, "fold_indices.txt', line 1: '0' is there twice");
  std::filesystem::remove(path);
  expect_refused({"--folds", "0"}, 3, "there is no file '" + path + "'");
  write_text(path, good);
  EXPECT_EQ(run_linear(folder_->path(), {"--protocol", "frozen", "--epochs", "1", "--folds", "0"}).exit_code, 0);
}

}  // namespace
}  // namespace dcl::test
