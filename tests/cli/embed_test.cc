// dcl-embed from outside: its files, and the map of the features.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#include "io/csv.h"
#include "io/npy.h"
#include "support/process.h"

namespace dcl::test {
namespace {

class Embed : public testing::Test {
 protected:
  static void SetUpTestSuite() { folder_ = new TemporaryFolder; }
  static void TearDownTestSuite() { delete folder_; }

  /// Features of 40 drawn images; `more` comes last, and wins.
  static std::vector<std::string> embed(const std::vector<std::string>& more) {
    std::vector<std::string> argv = {app("dcl-embed"), "--dataset", "shapes", "--shapes_size", "16", "--untrained"};
    const auto given = [&](const char* name) { return std::ranges::find(more, name) != more.end(); };
    if (!given("--arch")) argv.insert(argv.end(), {"--arch", "resnet18"});
    if (!given("--shapes_count")) argv.insert(argv.end(), {"--shapes_count", "40"});
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

/// Rows of one data set beside the names of another would be wrong without a sign of it.
TEST_F(Embed, ThatFailsLeavesItsFilesAsTheyWere) {
  const std::vector<std::string> files = {*folder_ / "set.npy", *folder_ / "set.csv", *folder_ / "set.svg"};
  const auto texts = [&] {
    std::vector<std::string> all;
    for (const std::string& file : files) all.push_back(read_text(file));
    return all;
  };
  const auto argv = embed({"--out", files[0], "--map", files[2], "--map_method", "pca"});
  ASSERT_EQ(run(argv).exit_code, 0);
  const std::vector<std::string> before = texts();
  auto again = argv;
  again.insert(again.end(), {"--max_images", "30"});
  for (const char* fault : {"write:1+:ENOSPC", "write:2:ENOSPC", "fsync:1:ENOSPC", "fsync:2:EIO", "fsync:3:EIO",
                            "close:2:EIO", "close:3:EIO", "rename:1:EIO"}) {
    const Outcome outcome = run(again, {{"DCL_FAULT", fault}});
    EXPECT_EQ(outcome.exit_code, 5) << fault << outcome.err;
    EXPECT_TRUE(texts() == before) << fault;
  }
  ASSERT_EQ(run(again).exit_code, 0);
  for (size_t i = 0; i < files.size(); ++i) EXPECT_LT(texts()[i].size(), before[i].size()) << files[i];
}

TEST_F(Embed, WritesUnitRowsAndNames) {
  const std::string out = *folder_ / "x.npy", raw = *folder_ / "raw.npy";
  ASSERT_EQ(run(embed({"--out", out, "--batch_size", "7"})).exit_code, 0);
  ASSERT_EQ(run(embed({"--out", raw, "--raw", "--projector", *folder_ / "projector"})).exit_code, 0);
  const auto x = read_npy_f32(out), r = read_npy_f32(raw);
  ASSERT_EQ(x.shape, (std::vector<int64_t>{40, 512}));
  ASSERT_EQ(r.shape, x.shape);
  for (int64_t row = 0; row < 40; ++row) {
    double norm = 0, raw_norm = 0;
    for (int64_t d = 0; d < 512; ++d) {
      norm += std::pow(x.values[row * 512 + d], 2);
      raw_norm += std::pow(r.values[row * 512 + d], 2);
    }
    EXPECT_NEAR(norm, 1, 1e-5);
    for (int64_t d = 0; d < 512; ++d)
      EXPECT_NEAR(x.values[row * 512 + d], r.values[row * 512 + d] / std::sqrt(raw_norm), 1e-5);
  }
  const std::string csv = read_text(*folder_ / "x.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 41);
  EXPECT_EQ(csv.substr(0, csv.find('\n')), "row,name,label,class");
  const std::string tsv = read_text(*folder_ / "projector/features.tsv");
  EXPECT_EQ(std::count(tsv.begin(), tsv.end(), '\n'), 40);
  EXPECT_EQ(std::count(tsv.begin(), tsv.end(), '\t'), 40 * 511);
  EXPECT_EQ(std::stof(tsv), r.values[0]);
  EXPECT_TRUE(std::filesystem::exists(*folder_ / "projector/projector_config.pbtxt"));
}

TEST_F(Embed, DrawsAMap) {
  const std::string out = *folder_ / "mapped.npy", svg = *folder_ / "mapped.svg", csv = *folder_ / "mapped.csv";
  for (const std::string method : {"tsne", "pca"}) {
    const Outcome outcome = run(embed({"--out", out, "--map", svg, "--map_method", method, "--map_perplexity", "6.5"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("wrote a map of 40 images to " + svg), std::string::npos) << outcome.err;
    const std::string drawing = read_text(svg);
    size_t dots = 0;
    for (size_t at = drawing.find("<circle"); at != drawing.npos; at = drawing.find("<circle", at + 1)) ++dots;
    EXPECT_EQ(dots, 50u) << "40 images and 10 classes in the legend";
    EXPECT_NE(drawing.find("<title>train/11: ring</title>"), drawing.npos);

    std::istringstream table(read_text(csv));
    std::string line;
    std::getline(table, line);
    EXPECT_EQ(line, "row,name,label,class,map_x,map_y");
    std::set<std::string> places;
    for (int row = 0; std::getline(table, line); ++row) {
      const std::vector<std::string> fields = csv_split(line);
      ASSERT_EQ(fields.size(), 6u) << line;
      EXPECT_TRUE(std::isfinite(std::stod(fields[4])) && std::isfinite(std::stod(fields[5]))) << line;
      places.insert(fields[4] + "," + fields[5]);
    }
    EXPECT_EQ(places.size(), 40u) << method;
  }
}

TEST_F(Embed, MapsThatCannotBeAreUsageErrorsBeforeAnythingIsWritten) {
  const std::string out = *folder_ / "none.npy", svg = *folder_ / "none.svg";
  for (const auto& [more, words] :
       {std::pair<std::vector<std::string>, std::string>{{"--map", svg},
                                                         "t-SNE of 40 images cannot have the perplexity 30"},
        {{"--map", svg, "--map_perplexity", "13.5"}, "give --map_perplexity 13 or less, or --map_method pca"},
        {{"--map", svg, "--map_perplexity", "1"}, "--map_perplexity"},
        {{"--map", svg, "--map_method", "umap"}, "--map_method"},
        {{"--map", *folder_ / "none.png"}, "--map must end in .svg"}}) {
    std::vector<std::string> argv = {"--out", out};
    argv.insert(argv.end(), more.begin(), more.end());
    const Outcome outcome = run(embed(argv));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(out));
    EXPECT_FALSE(std::filesystem::exists(svg));
  }
}

TEST_F(Embed, DoesNotReplaceItsEncoder) {
  const TemporaryFolder folder;
  const std::string model = folder / "x.csv";  // which the format does not depend on
  write_text(model, "a model");
  const Outcome outcome =
      run({app("dcl-embed"), "--dataset", "shapes", "--model_path", model, "--out", folder / "x.npy"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("is the encoder itself"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_text(model), "a model");
}

/// What a run to its end shows: an interrupted one is not, and leaves nothing behind.
TEST_F(Embed, InterruptedLeavesNoUnfinishedFile) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, SIG_DFL);  // not ignored, as it is in what nohup started
    const TemporaryFolder out;
    Background program(embed({"--arch", "resnet50", "--shapes_count", "20000", "--out", out / "x.npy"}));
    const auto files = [&] { return std::distance(std::filesystem::directory_iterator(out.path()), {}); };
    while (files() == 0 && program.running()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    program.send(signal);
    EXPECT_EQ(program.wait().exit_code, 128 + signal);
    EXPECT_EQ(files(), 0) << signal;
  }
}

}  // namespace
}  // namespace dcl::test
