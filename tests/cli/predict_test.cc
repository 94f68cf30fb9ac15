// Classifiers from outside: dcl-linear keeps one, dcl-predict applies it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/csv.h"
#include "io/npy.h"
#include "support/cli.h"

namespace dcl::test {
namespace {

using nlohmann::json;

class Predict : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    trained_ = json_of(linear({"--protocol", "frozen", "--epochs", "40", "--out", model()}));
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string model() { return *folder_ / "classifier.safetensors"; }
  static std::vector<std::string> joined(std::vector<std::string> argv, const std::vector<std::string>& more) {
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  static std::vector<std::string> linear(const std::vector<std::string>& more) {
    return joined({app("dcl-linear"), "--dataset", "shapes", "--shapes_count", "40", "--shapes_test_count", "20",
                   "--shapes_size", "16", "--untrained", "--arch", "resnet18", "--image_size", "16", "--json"},
                  more);
  }
  /// On the images that dcl-linear tested on.
  static std::vector<std::string> predict(const std::string& file, const std::vector<std::string>& more = {}) {
    return joined({app("dcl-predict"), "--dataset", "shapes", "--shapes_count", "40", "--shapes_test_count", "20",
                   "--shapes_size", "16", "--model_path", file, "--out", table_path()},
                  more);
  }
  static std::string table_path() { return *folder_ / "table.csv"; }
  static std::vector<std::vector<std::string>> table() {
    std::vector<std::vector<std::string>> rows;
    std::istringstream lines(read_text(table_path()));
    for (std::string line; std::getline(lines, line);) rows.push_back(csv_split(line));
    return rows;
  }
  static void expect_refused(const std::vector<std::string>& argv, int code, const std::string& words) {
    const Outcome outcome = run(argv);
    test::expect_refused(outcome, code, {words});
    EXPECT_EQ(outcome.err.find("data:"), std::string::npos) << "no data set is read before";
  }

  static inline TemporaryFolder* folder_ = nullptr;
  static inline json trained_;
};

TEST_F(Predict, GivesTheAccuracyOfTheTestAndARowForEveryImage) {
  const json result = json_of(predict(model(), {"--top", "3", "--logits", *folder_ / "logits.npy", "--json"}));
  EXPECT_EQ(result.at("top1"), trained_.at("top1"));
  EXPECT_EQ(result.at("top5"), trained_.at("top5"));
  EXPECT_EQ(result.at("images"), 20);
  EXPECT_EQ(result.at("labelled"), 20);
  EXPECT_EQ(result.at("classes")[0], "disc");
  EXPECT_EQ(result.at("arch"), "resnet18");
  EXPECT_EQ(result.at("top"), 3);

  const auto rows = table();
  ASSERT_EQ(rows.size(), 21u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"row", "name", "class", "predicted", "probability", "predicted_2",
                                               "probability_2", "predicted_3", "probability_3"}));
  const auto logits = read_npy_f32(*folder_ / "logits.npy");
  ASSERT_EQ(logits.shape, (std::vector<int64_t>{20, 10}));
  const std::vector<std::string> classes = result.at("classes");
  int right = 0;
  for (size_t i = 1; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i][0], std::to_string(i - 1));
    EXPECT_EQ(rows[i][1], "test/" + rows[i][0]);
    right += rows[i][2] == rows[i][3];
    const std::vector<float> own(&logits.values[(i - 1) * 10], &logits.values[(i - 1) * 10] + 10);
    double sum = 0;
    for (const float logit : own) sum += std::exp(double{logit});
    const auto best = std::ranges::max_element(own);
    EXPECT_EQ(rows[i][3], classes[static_cast<size_t>(best - own.begin())]);
    EXPECT_NEAR(std::stod(rows[i][4]), std::exp(double{*best}) / sum, 1e-6);
    EXPECT_GE(std::stod(rows[i][4]), std::stod(rows[i][6]));
    EXPECT_GE(std::stod(rows[i][6]), std::stod(rows[i][8]));
  }
  EXPECT_NEAR(trained_.at("top1").get<double>(), 100.0 * right / 20, 1e-9);
}

TEST_F(Predict, ImagesAreThoseOfOneSplit) {
  const auto images = [&](const std::vector<std::string>& more) {
    return json_of(joined({app("dcl-predict"), "--dataset", "shapes", "--shapes_count", "40", "--shapes_size", "16",
                           "--model_path", model(), "--out", table_path(), "--json"},
                          more))
        .at("images");
  };
  EXPECT_EQ(images({}), 8) << "a fifth: the test images";
  EXPECT_EQ(images({"--split", "train"}), 40);
  EXPECT_EQ(images({"--max_per_class", "0", "--max_images", "3"}), 3);
  for (const char* other : {"--test_split", "--test_max_per_class"})
    test::expect_refused(predict(model(), {other, "1"}), 2, {other});
}

TEST_F(Predict, EncodersThatChangedMeanwhileAreKeptAsTheyWere) {
  for (const std::string protocol : {"batch", "finetune"}) {
    const std::string file = *folder_ / (protocol + ".safetensors");
    const json result = json_of(linear({"--protocol", protocol, "--epochs", "2", "--lr", "1e-3", "--out", file}));
    const json again = json_of(predict(file, {"--json"}));
    EXPECT_EQ(again.at("top1"), result.at("top1")) << protocol;
    EXPECT_EQ(again.at("top5"), result.at("top5")) << protocol;
  }
}

/// Whoever uses the file shows images to its encoder as they were when the classifier learned.
TEST_F(Predict, TheNormalizationIsThatOfTheFile) {
  const std::string file = *folder_ / "half.safetensors", out = *folder_ / "features.npy";
  const json result =
      json_of(linear({"--protocol", "frozen", "--epochs", "5", "--normalization", "half", "--out", file}));
  EXPECT_EQ(json_of(predict(file, {"--json"})).at("top1"), result.at("top1"));
  const auto features = [&](const std::vector<std::string>& more) {
    const Outcome outcome = run(joined({app("dcl-embed"), "--dataset", "shapes", "--shapes_count", "4", "--shapes_size",
                                        "16", "--model_path", file, "--out", out},
                                       more));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_npy_f32(out).values;
  };
  EXPECT_EQ(features({}), features({"--normalization", "half"}));
  EXPECT_NE(features({}), features({"--normalization", "published"}));
}

TEST_F(Predict, ImagesAreSeenAtTheSizeOfTheTest) {
  const std::string file = *folder_ / "sized.safetensors";
  const json result = json_of(linear({"--protocol", "frozen", "--epochs", "5", "--eval_size", "24", "--out", file}));
  const Outcome said = run(predict(file));
  EXPECT_NE(said.err.find("evaluated at 24 x 24"), std::string::npos) << said.err;
  EXPECT_EQ(json_of(predict(file, {"--json"})).at("top1"), result.at("top1"));
}

/// What is known of an image is its class's name: data sets may number the same classes otherwise, or have others.
TEST_F(Predict, ClassesAreMatchedByName) {
  const std::string data = *folder_ / "photos";
  for (const char* name : {"disc", "unicorn"}) std::filesystem::create_directories(data + "/test/" + name);
  write_text(data + "/test/disc/0.ppm", "P2 2 2 255 1 2 3 4");
  write_text(data + "/test/unicorn/0.ppm", "P2 2 2 255 9 8 7 6");
  const std::vector<std::string> photos = {"--dataset", "folder", "--data", data, "--eval_size", "16", "--json"};
  const json result = json_of(predict(model(), photos));
  EXPECT_EQ(result.at("images"), 2);
  EXPECT_EQ(result.at("labelled"), 1) << "no unicorns in the classifier";
  EXPECT_EQ(table()[2][2], "unicorn");

  std::filesystem::remove_all(data);
  std::filesystem::create_directories(data);
  write_text(data + "/0.ppm", "P2 2 2 255 1 2 3 4");
  const json unlabelled = json_of(predict(model(), photos));
  EXPECT_EQ(unlabelled.at("labelled"), 0);
  EXPECT_TRUE(unlabelled.at("top1").is_null());
  EXPECT_EQ(table()[1][2], "");
}

TEST_F(Predict, WhatCannotWorkIsRefusedBeforeItBegins) {
  expect_refused(linear({"--out", *folder_ / "x.pth"}), 2, "must end in .safetensors");
  expect_refused(linear({"--out", *folder_ / "absent/x.safetensors"}), 5, "absent");
  std::vector<std::string> onto_itself = {app("dcl-linear"), "--dataset", "shapes", "--model_path",
                                          model(),           "--out",     model()};
  expect_refused(onto_itself, 2, "is the encoder itself");
  expect_refused(predict(model(), {"--logits", *folder_ / "x.csv"}), 2, "must end in .npy");
  expect_refused(predict(model(), {"--out", *folder_ / "x.npy", "--logits", *folder_ / "./x.npy"}), 2, "are both");
  const std::string before = read_text(model());
  expect_refused(predict(model(), {"--out", model()}), 2, "is the classifier itself");
  EXPECT_TRUE(read_text(model()) == before);
  const std::string run_dir = *folder_ / "run";
  ASSERT_EQ(
      run({app("dcl-pretrain"), "--dataset", "shapes", "--shapes_count", "16", "--shapes_size", "16", "--image_size",
           "16", "--arch", "resnet18", "--batch_size", "8", "--max_steps", "1", "--no_knn", "--run_dir", run_dir})
          .exit_code,
      0);
  for (const std::string& encoder : {run_dir, run_dir + "/checkpoints/latest"})
    expect_refused(predict(encoder), 3, "not one classifier on its 512 features");
}

}  // namespace
}  // namespace dcl::test
