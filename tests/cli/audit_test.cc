// dcl-audit on drawn images, and on a folder with planted copies.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "io/csv.h"
#include "math/philox.h"
#include "support/cli.h"

namespace dcl::test {
namespace {

using nlohmann::json;

std::vector<std::string> audit_of(const std::vector<std::string>& data, const std::vector<std::string>& more = {}) {
  std::vector<std::string> argv = {app("dcl-audit"), "--untrained", "--arch", "resnet18", "--threads", "2"};
  argv.insert(argv.end(), data.begin(), data.end());
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

json audited(std::vector<std::string> argv) {
  argv.push_back("--json");
  return json_of(argv);
}

std::vector<std::vector<std::string>> table_of(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream text(read_text(path));
  for (std::string line; std::getline(text, line);) rows.push_back(csv_split(line));
  return rows;
}

const std::vector<std::string> kShapes = {"--dataset", "shapes", "--shapes_count", "60", "--shapes_size", "16"};

TEST(Audit, ShapesAsOneJsonObject) {
  const json result = audited(audit_of(kShapes, {"--k", "7"}));
  EXPECT_EQ(result.at("labelled"), 60);
  EXPECT_NEAR(result.at("same_class_probability").get<double>(), 5.0 / 59, 1e-12);
  EXPECT_EQ(result.at("same_class").at("pairs"), 150);
  EXPECT_EQ(result.at("different_class").at("pairs"), 60 * 59 / 2 - 150);
  for (const char* which : {"same_class", "different_class"}) {
    double before = -1;
    for (const char* name : {"q5", "q25", "q50", "q75", "q95"}) {
      EXPECT_GT(result.at(which).at(name).get<double>(), before) << which << name;
      before = result.at(which).at(name);
    }
    EXPECT_LE(before, 1);
    EXPECT_GT(result.at(which).at("mean"), result.at(which).at("q5"));
    EXPECT_LT(result.at(which).at("mean"), result.at(which).at("q95"));
  }
  EXPECT_GT(result.at("auc"), 0.3);
  EXPECT_LT(result.at("auc"), 0.9);
  EXPECT_LT(result.at("auc_error"), 1e-3);
  EXPECT_EQ(result.at("k"), 7);
  const double hits = result.at("false_negatives").get<double>() * 60 * 7;
  EXPECT_NEAR(hits, std::round(hits), 1e-9) << "of 60 x 7 neighbours";
  EXPECT_EQ(result.at("duplicates").at("identical_pairs"), 0);
  EXPECT_EQ(result.at("leakage").at("identical_pairs"), 0);
  for (const auto& [key, value] : {std::pair<const char*, json>{"dataset", "shapes"},
                                   {"split", "train"},
                                   {"images", 60},
                                   {"test_split", "test"},
                                   {"test_images", 12},
                                   {"classes", 10},
                                   {"arch", "resnet18"},
                                   {"untrained", true},
                                   {"model_path", nullptr},
                                   {"threshold", 0.999},
                                   {"batch_size", 256},
                                   {"shapes_size", 16}})
    EXPECT_EQ(result.at(key), value) << key;
  for (const char* key : {"seed", "device", "dtype", "threads", "version"}) EXPECT_TRUE(result.contains(key)) << key;
}

TEST(Audit, ShapesInWords) {
  const Outcome outcome = run(audit_of(kShapes));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* words : {"60 labelled images: two of them share a class with probability 0.0847 (tau+)\n",
                            "same class                150", "different class          1620", "AUC of 'same class'",
                            "of the 20 most similar images of an image, ",
                            "  in train: ", "  between train and test: ", " of 12 of test\n"})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words << " is not in\n" << outcome.out;
  const std::string warning = "warning: more near duplicates than images";
  EXPECT_EQ(outcome.err.find(warning), std::string::npos) << outcome.err;
  EXPECT_NE(run(audit_of(kShapes, {"--threshold", "0.5"})).err.find(warning), std::string::npos);
}

/// 16 x 16 pixels in squares of random colours; their number differs, so that random weights tell the pictures apart.
std::vector<int> picture(int which) {
  const int squares = 1 << which % 5;  // in a row
  RandomStream stream(53, RandomPurpose::test, static_cast<uint32_t>(which));
  std::vector<int> colours;
  for (int i = 0; i < squares * squares * 3; ++i) colours.push_back(static_cast<int>(stream.below(256)));
  std::vector<int> pixels;
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 16; ++x)
      for (int c = 0; c < 3; ++c)
        pixels.push_back(colours[static_cast<size_t>((y * squares / 16 * squares + x * squares / 16) * 3 + c)]);
  return pixels;
}

std::string binary(const std::vector<int>& pixels) {
  std::string text = "P6 16 16 255\n";
  for (const int value : pixels) text += static_cast<char>(value);
  return text;
}

std::string plain(const std::vector<int>& pixels) {
  std::string text = "P3 16 16 255\n";
  for (const int value : pixels) text += std::to_string(value) + "\n";
  return text;
}

std::vector<int> with_one_pixel_changed(std::vector<int> pixels) {
  pixels[3 * (16 * 7 + 9)] ^= 64;
  return pixels;
}

std::vector<int> mirrored(const std::vector<int>& pixels) {
  std::vector<int> out(pixels.size());
  for (size_t y = 0; y < 16; ++y)
    for (size_t x = 0; x < 16; ++x)
      for (size_t c = 0; c < 3; ++c) out[(y * 16 + 15 - x) * 3 + c] = pixels[(y * 16 + x) * 3 + c];
  return out;
}

class PlantedCopies : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    for (const char* name : {"train/a", "train/b", "test/a", "test/b"})
      std::filesystem::create_directories(*folder_ / name);
    const auto put = [](const std::string& name, const std::string& text) { write_text(*folder_ / name, text); };
    for (int i = 0; i < 6; ++i) put("train/a/" + std::to_string(i) + ".ppm", binary(picture(i)));
    for (int i = 6; i < 10; ++i) put("train/b/" + std::to_string(i) + ".ppm", binary(picture(i)));
    put("train/b/copy of 0, other class.ppm", plain(picture(0)));
    put("train/a/1 changed.ppm", binary(with_one_pixel_changed(picture(1))));
    put("train/a/2 mirrored.ppm", binary(mirrored(picture(2))));
    put("test/a/copy of 3.ppm", plain(picture(3)));
    put("test/b/7 changed.ppm", binary(with_one_pixel_changed(picture(7))));
    put("test/b/20.ppm", binary(picture(20)));
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::vector<std::string> audit(const std::vector<std::string>& more = {}) {
    return audit_of({"--dataset", "folder", "--data", folder_->path()}, more);
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

TEST_F(PlantedCopies, AreFoundWithinAndBetweenTheSplits) {
  const std::string out = *folder_ / "pairs.csv";
  const json result = audited(audit({"--out", out}));
  EXPECT_EQ(result.at("duplicates"),
            json({{"pairs", 2}, {"images", 4}, {"identical_pairs", 1}, {"identical_images", 2}}));
  EXPECT_EQ(result.at("leakage"), json({{"pairs", 2}, {"images", 2}, {"identical_pairs", 1}, {"identical_images", 1}}));
  const auto rows = table_of(out);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"similarity", "identical", "split_a", "row_a", "name_a", "class_a",
                                               "split_b", "row_b", "name_b", "class_b"}));
  EXPECT_EQ(rows[1], (std::vector<std::string>{"1", "1", "train", "0", "a/0.ppm", "a", "train", "12",
                                               "b/copy of 0, other class.ppm", "b"}));
  EXPECT_EQ(rows[2],
            (std::vector<std::string>{"1", "1", "train", "5", "a/3.ppm", "a", "test", "0", "a/copy of 3.ppm", "a"}));
  std::set<std::vector<std::string>> changed;
  for (const size_t i : {3, 4}) {
    EXPECT_LT(std::stod(rows[i][0]), 1);
    EXPECT_GE(std::stod(rows[i][0]), 0.999);
    EXPECT_LE(std::stod(rows[i][0]), std::stod(rows[i - 1][0]));
    EXPECT_EQ(rows[i][1], "0");
    changed.insert({rows[i][4], rows[i][6], rows[i][8]});
  }
  EXPECT_EQ(changed, (std::set<std::vector<std::string>>{{"a/1 changed.ppm", "train", "a/1.ppm"},
                                                         {"b/7.ppm", "test", "b/7 changed.ppm"}}));
}

TEST_F(PlantedCopies, EveryPairIsThereAtTheLowestThreshold) {
  const std::string out = *folder_ / "all.csv";
  const json result = audited(audit({"--threshold", "-1", "--out", out}));
  EXPECT_EQ(result.at("duplicates").at("pairs"), 13 * 12 / 2);
  EXPECT_EQ(result.at("leakage").at("pairs"), 13 * 3);
  EXPECT_EQ(result.at("leakage").at("images"), 3);
  const auto rows = table_of(out);
  ASSERT_EQ(rows.size(), 1u + 13 * 12 / 2 + 13 * 3);
  const auto mirrored_pair = std::find_if(
      rows.begin(), rows.end(), [](const auto& row) { return row[4] == "a/2 mirrored.ppm" && row[8] == "a/2.ppm"; });
  ASSERT_NE(mirrored_pair, rows.end());
  EXPECT_EQ((*mirrored_pair)[1], "0");
  EXPECT_LT(std::stod((*mirrored_pair)[0]), 0.999) << "random weights know nothing of mirrors";
  audited(audit({"--threshold", "-1", "--most", "7", "--out", out}));
  const auto first = table_of(out);
  EXPECT_EQ(first, decltype(first)(rows.begin(), rows.begin() + 8));
}

TEST_F(PlantedCopies, AtThresholdOneIdenticalImagesRemain) {
  const json result = audited(audit({"--threshold", "1"}));
  EXPECT_EQ(result.at("duplicates"),
            json({{"pairs", 1}, {"images", 2}, {"identical_pairs", 1}, {"identical_images", 2}}));
  EXPECT_EQ(result.at("leakage"), json({{"pairs", 1}, {"images", 1}, {"identical_pairs", 1}, {"identical_images", 1}}));
}

TEST_F(PlantedCopies, AreTheSameForEveryNumberOfThreads) {
  std::vector<json> results;
  std::vector<std::string> tables;
  for (const char* threads : {"1", "3"}) {
    const std::string out = *folder_ / "threads.csv";
    results.push_back(audited(audit({"--device", "eigen", "--threads", threads, "--threshold", "0.9", "--out", out})));
    EXPECT_EQ(results.back().at("threads"), std::stoi(threads));
    results.back().erase("threads");
    tables.push_back(read_text(out));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(tables[0], tables[1]);
}

TEST_F(PlantedCopies, TableIsReplacedAsAWholeOrNotAtAll) {
  const std::string out = *folder_ / "whole.csv";
  ASSERT_EQ(run(audit({"--threshold", "1", "--out", out})).exit_code, 0);
  const std::string before = read_text(out);
  for (const char* fault : {"write:1+:ENOSPC", "fsync:1:EIO", "rename:1:EIO"}) {
    const Outcome outcome = run(audit({"--threshold", "-1", "--out", out}), {{"DCL_FAULT", fault}});
    EXPECT_EQ(outcome.exit_code, 5) << fault << outcome.err;
    EXPECT_EQ(outcome.out, "") << fault;
    EXPECT_EQ(read_text(out), before) << fault;
  }
  expect_refused(audit({"--out", *folder_ / "no such folder/x.csv"}), 5, {"no such folder"});
}

TEST_F(PlantedCopies, WithoutATestSplitTheOtherIsLookedAtAlone) {
  for (const auto& [more, words] :
       {std::pair<std::vector<std::string>, std::string>{{"--split", "test"}, "are both 'test'"},
        {{"--data", *folder_ / "train"}, "has no splits"}}) {
    const Outcome outcome = run(audit(more));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("warning: nothing is compared with a test split: "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out.find("between"), std::string::npos) << outcome.out;
    const json result = audited(audit(more));
    EXPECT_EQ(result.at("leakage"), nullptr);
    EXPECT_EQ(result.at("test_split"), nullptr);
    EXPECT_EQ(result.at("test_images"), 0);
  }
  expect_refused(audit({"--split", "test", "--test_split", "test"}), 2, {"every image would be in both"});
  expect_refused(audit({"--data", *folder_ / "train", "--test_split", "test"}), 3, {"has no splits"});
}

TEST_F(PlantedCopies, WithoutLabelsNothingIsSaidOfClasses) {
  const std::vector<std::string> more = {"--data", *folder_ / "train/a"};
  const Outcome outcome = run(audit(more));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("fewer than two images have a label: nothing is said about classes\n"), 0u) << outcome.out;
  EXPECT_NE(outcome.out.find("  in train: pairs 1, of identical pixels 0; images in them 2 of 8\n"), std::string::npos)
      << outcome.out;
  const json result = audited(audit(more));
  EXPECT_EQ(result.at("labelled"), 0);
  for (const char* key :
       {"same_class_probability", "same_class", "different_class", "auc", "auc_error", "false_negatives"})
    EXPECT_EQ(result.at(key), nullptr) << key;
  EXPECT_EQ(result.at("duplicates").at("pairs"), 1);
}

TEST(Audit, RefusesWhatItCannotDo) {
  for (const char* threshold : {"1.01", "-1.5", "nan"})
    expect_refused(audit_of(kShapes, {"--threshold", threshold}), 2, {"threshold"});
  for (const char* k : {"0", "1001"}) expect_refused(audit_of(kShapes, {"--k", k}), 2, {"--k"});
  expect_refused(audit_of(kShapes, {"--most", "0"}), 2, {"most"});
  expect_refused(audit_of(kShapes, {"--split", "test", "--max_images", "1"}), 2, {"there is no pair to look at"});
  const TemporaryFolder folder;
  const std::string model = folder / "model.npz";
  write_text(model, "a model");
  std::vector<std::string> onto_model = {app("dcl-audit"), "--model_path", model, "--out", model};
  onto_model.insert(onto_model.end(), kShapes.begin(), kShapes.end());
  expect_refused(onto_model, 2, {"is the encoder itself"});
  const json one = audited(audit_of(kShapes, {"--max_images", "1", "--threshold", "-1"}));
  EXPECT_EQ(one.at("duplicates").at("pairs"), 0);
  EXPECT_EQ(one.at("leakage").at("pairs"), 12);
  EXPECT_EQ(one.at("auc"), nullptr);
}

}  // namespace
}  // namespace dcl::test
