// Pretraining runs and what they have recorded, for tests from outside.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/tiny_run.h"

namespace dcl::test {

using nlohmann::json;

inline std::vector<json> records(const std::string& run_dir) {
  std::istringstream text(read_text(run_dir + "/metrics.jsonl"));
  std::vector<json> all;
  for (std::string line; std::getline(text, line);) all.push_back(json::parse(line));
  return all;
}

/// step -> loss of the training records, which must come in order without gaps or repetition.
inline std::vector<double> losses(const std::string& run_dir) {
  std::vector<double> all;
  for (const json& record : records(run_dir)) {
    if (record.at("split") != "train") continue;
    EXPECT_EQ(record.at("step").get<size_t>(), all.size() + 1);
    all.push_back(record.at("loss"));
  }
  return all;
}

inline void expect_same_end(const std::string& a, const std::string& b) {
  for (const bool state : {false, true}) {
    const std::string one = read_text(file_of(a, kTinySteps, state)), two = read_text(file_of(b, kTinySteps, state));
    ASSERT_GT(one.size(), 1000u);
    EXPECT_TRUE(one == two) << (state ? "state" : "model") << " files differ";
  }
  EXPECT_EQ(losses(a), losses(b));
}

/// One uninterrupted run that the tests of a program compare with.
class Pretrain : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const Outcome outcome = run(tiny_run(whole()));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string whole() { return *folder_ / "whole"; }
  static std::string fresh(const std::string& name) { return *folder_ / name; }

  static inline TemporaryFolder* folder_ = nullptr;
};

}  // namespace dcl::test
