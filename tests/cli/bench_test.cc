// dcl-bench from outside: one row for everything that was asked for, in every format, with figures that fit together.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/process.h"

namespace dcl::test {
namespace {

using nlohmann::json;

Outcome bench(const std::vector<std::string>& more) {
  std::vector<std::string> argv = {app("dcl-bench"), "--arch", "resnet18",     "--device", "eigen", "--repeats", "3",
                                   "--batch_size",   "2",      "--image_size", "8"};
  argv.insert(argv.end(), more.begin(), more.end());
  return run(argv);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<json> rows(const std::vector<std::string>& more) {
  std::vector<std::string> argv = {"--format", "jsonl"};
  argv.insert(argv.end(), more.begin(), more.end());
  const Outcome outcome = bench(argv);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  std::vector<json> all;
  for (const std::string& line : lines_of(outcome.out)) all.push_back(json::parse(line));
  return all;
}

TEST(Bench, EveryOperationHasARowThatAddsUp) {
  std::vector<std::string> seen;
  for (const json& row : rows({})) {
    seen.push_back(row.at("op"));
    const auto samples = row.at("samples_ms").get<std::vector<double>>();
    ASSERT_EQ(samples.size(), 3u);
    const std::set<double> sorted(samples.begin(), samples.end());
    EXPECT_EQ(row.at("min_ms"), *sorted.begin());
    EXPECT_EQ(row.at("max_ms"), *sorted.rbegin());
    if (sorted.size() == 3) {
      EXPECT_EQ(row.at("median_ms"), *std::next(sorted.begin()));
    }
    EXPECT_GT(row.at("rate"), 0);
    EXPECT_EQ(row.at("backend"), "eigen");
    EXPECT_EQ(row.at("batch"), 2);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"objective/debiased", "conv/forward", "conv/data", "conv/filter", "augment",
                                            "embed", "step"}));
}

/// Work = rate x time. ResNet-18 has 20 convolutions, 3 of them in shortcuts.
TEST(Bench, ConvolutionsAreCountedAsTheNetworkHasThem) {
  std::map<std::string, double> flops, of_each;
  std::map<std::string, int> counts;
  for (const json& row : rows({"--ops", "conv", "--each"})) {
    const std::string pass = row.at("op");
    const double work = row.at("rate").get<double>() * row.at("median_ms").get<double>() * 1e6;
    if (row.at("shape") == "resnet18/cifar 8x8") {
      flops[pass] = work;
    } else {
      of_each[pass] += row.at("count").get<int>() * work;
      counts[pass] += row.at("count").get<int>();
    }
  }
  EXPECT_EQ(counts, (std::map<std::string, int>{{"conv/data", 19}, {"conv/filter", 20}, {"conv/forward", 20}}));
  const double stem = 2.0 * 2 * 8 * 8 * 64 * 27;
  for (const auto& [pass, work] : flops) EXPECT_NEAR(work / of_each[pass], 1, 1e-9) << pass;
  EXPECT_NEAR(flops["conv/forward"], 2.0 * 2 * 555417600 / 16,
              10);  // multiply-adds at 32x32, tests/unit/resnet_test.cc
  EXPECT_NEAR(flops["conv/forward"] - flops["conv/data"], stem, 10);
}

TEST(Bench, ObjectivesAndBatches) {
  std::set<std::pair<std::string, int>> seen;
  for (const json& row : rows({"--ops", "objective", "--objective", "biased,debiased,hard,decoupled,unbiased,supcon",
                               "--batch_size", "4,8"}))
    seen.emplace(row.at("op"), row.at("batch"));
  EXPECT_EQ(seen.size(), 12u);
  EXPECT_TRUE(seen.contains({"objective/hard", 8}));
}

TEST(Bench, OneImageIsABatchOfWhatHasNoNegatives) {
  for (const json& row : rows({"--ops", "embed,augment", "--batch_size", "1"})) EXPECT_EQ(row.at("batch"), 1);
  EXPECT_EQ(bench({"--ops", "embed,step", "--batch_size", "1"}).exit_code, 2);
}

TEST(Bench, Formats) {
  const auto table = lines_of(bench({"--ops", "objective"}).out),
             csv = lines_of(bench({"--ops", "objective", "--format", "csv"}).out);
  ASSERT_EQ(table.size(), 3u);
  EXPECT_TRUE(table[0].starts_with("| backend ") && table[1].starts_with("|---") && table[2].starts_with("| eigen "));
  for (const std::string& line : table) EXPECT_EQ(line.size(), table[0].size());
  ASSERT_EQ(csv.size(), 2u);
  EXPECT_EQ(csv[0], "backend,device,op,shape,dtype,threads,batch,median_ms,sd_ms,rate,unit,mebibytes,version");
  EXPECT_EQ(std::ranges::count(csv[1], ','), 12);
}

TEST(Bench, BadInputIsOneLine) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases = {
      {{"--ops", "convolution"}, "--ops: 'convolution' is unknown, expected some of objective,conv,"},
      {{"--ops", "conv,,embed"}, "--ops: '' is unknown, expected some of"},
      {{"--batch_size", "64,1"},
       "--batch_size: expected whole numbers from 2 to 1048576 with commas between them, got '1'"},
      {{"--batch_size", "9999999999999999999"}, "--batch_size: expected whole numbers"},
      {{"--image_size", "32x32"},
       "--image_size: expected whole numbers from 8 to 1024 with commas between them, got '32x32'"},
      {{"--dtype", "f16"}, "--dtype: 'f16' is unknown"},
      {{"--objective", "debiased,supervised"}, "--objective: 'supervised' is unknown"},
      {{"--format", "html"}, "expected one of md, csv, jsonl"},
      {{"--device", "eigen,metal"}, "metal"}};
  for (const auto& [flags, line] : cases) {
    const Outcome outcome = bench(flags);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(line), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace dcl::test
