// Metrics files: append, resume, damage.
#include "run/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "io/csv.h"
#include "io/fault.h"
#include "support/process.h"

namespace dcl {
namespace {

using test::read_text;
using test::TemporaryFolder;
using test::write_text;

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    out.push_back(text.substr(at, end - at));
    at = end == text.npos ? text.size() : end + 1;
  }
  return out;
}

class Metrics : public testing::Test {
 protected:
  void TearDown() override { set_fault_plan(""); }
  void run(int64_t from, int64_t to, std::optional<int64_t> resume = std::nullopt,
           const std::vector<std::string>& columns = {"step", "loss", "split"}) {
    MetricsLog log(folder_.path(), columns, resume);
    for (int64_t step = from; step <= to; ++step)
      log.write({{"step", step}, {"loss", 1.0 / static_cast<double>(step)}, {"split", std::string("train")}});
  }
  std::vector<std::string> csv() const { return lines(read_text(folder_ / "metrics.csv")); }
  std::vector<std::string> json() const { return lines(read_text(folder_ / "metrics.jsonl")); }
  std::vector<int64_t> steps() const {
    std::vector<int64_t> from_csv, from_json;
    for (const std::string& line : csv())
      if (line.find("step") != 0) from_csv.push_back(std::stoll(csv_split(line)[0]));
    for (const std::string& line : json()) from_json.push_back(nlohmann::json::parse(line)["step"]);
    EXPECT_EQ(from_csv, from_json);
    return from_csv;
  }
  TemporaryFolder folder_;
};

TEST_F(Metrics, OneRecordALine) {
  run(1, 2);
  ASSERT_EQ(csv().size(), 3u);
  EXPECT_EQ(csv()[0], "step,loss,split,ts");
  EXPECT_EQ(csv()[2].substr(0, 12), "2,0.5,train,");
  const auto record = nlohmann::json::parse(json()[1]);
  EXPECT_EQ(record["loss"], 0.5);
  EXPECT_EQ(record["split"], "train");
  EXPECT_EQ(record["ts"].get<std::string>().size(), 20u);
  EXPECT_EQ(json()[1].find("{\"step\":2,\"loss\":0.5,"), 0u) << "keys in the order of the record";
}

TEST_F(Metrics, MissingAndNonFiniteValues) {
  MetricsLog log(folder_.path(), {"step", "loss", "knn_top1"});
  log.write({{"step", int64_t{1}}, {"knn_top1", std::nan("")}});
  EXPECT_EQ(csv()[1].substr(0, 7), "1,,nan,");
  const auto record = nlohmann::json::parse(json()[0]);
  EXPECT_FALSE(record.contains("loss"));
  EXPECT_TRUE(record["knn_top1"].is_null());
}

TEST_F(Metrics, RefusesUnknownColumns) {
  MetricsLog log(folder_.path(), {"step"});
  EXPECT_THROW(log.write({{"step", int64_t{1}}, {"lost", 1.0}}), Error);
  EXPECT_THROW(log.write({}), Error);
  EXPECT_THROW(MetricsLog(folder_.path(), {"loss"}), Error);
}

TEST_F(Metrics, ResumeDropsLaterRecords) {
  run(1, 10);
  run(7, 12, 6);
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  run(1, 2, 0);
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2}));
}

TEST_F(Metrics, ResumeDropsTheLineAKillCutOff) {
  run(1, 3);
  write_text(folder_ / "metrics.csv", read_text(folder_ / "metrics.csv") + "4,0.2");
  write_text(folder_ / "metrics.jsonl", read_text(folder_ / "metrics.jsonl") + "{\"step\":4,\"lo");
  run(4, 5, 3);
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4, 5}));
}

TEST_F(Metrics, AHeaderThatWasCutOffIsWrittenAgain) {
  write_text(folder_ / "metrics.csv", "step,lo");
  run(1, 2, 0);
  EXPECT_EQ(csv()[0], "step,loss,split,ts");
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2}));
}

TEST_F(Metrics, WithoutResumeRecordsAreKept) {
  run(1, 2);
  run(3, 4);
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4}));
}

TEST_F(Metrics, NewColumnsJoinAnOldFile) {
  run(1, 2);
  {
    MetricsLog log(folder_.path(), {"loss", "step", "lr"}, 2);
    log.write({{"step", int64_t{3}}, {"lr", 0.5}});
  }
  EXPECT_EQ(csv()[0], "step,loss,split,ts,lr");
  EXPECT_EQ(csv_split(csv()[1]).size(), 5u);
  EXPECT_EQ(csv_split(csv()[3])[4], "0.5");
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3}));
}

TEST_F(Metrics, ADiskThatIsFullForAWhileLosesNothing) {
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view message) { said.emplace_back(message); });
  MetricsLog log(folder_.path(), {"step"});
  log.write({{"step", int64_t{1}}});
  set_fault_plan("write:1:SHORT,write:2+:ENOSPC");  // half a line, then nothing
  for (const int64_t step : {2, 3}) log.write({{"step", step}});
  EXPECT_EQ(steps(), (std::vector<int64_t>{1}));
  ASSERT_EQ(said.size(), 2u);  // once for each of the two files
  EXPECT_NE(said[0].find("metrics.csv': No space left"), std::string::npos) << said[0];
  set_fault_plan("");
  log.write({{"step", int64_t{4}}});
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(said.size(), 4u);
  set_log_sink({});
}

TEST_F(Metrics, WhatNeverGetsWrittenIsAnErrorInTheEnd) {
  set_log_sink([](LogLevel, std::string_view) {});
  MetricsLog log(folder_.path(), {"step"});
  set_fault_plan("write:1+:ENOSPC");
  log.write({{"step", int64_t{1}}});
  try {
    log.flush();
    ADD_FAILURE() << "flushed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_NE(std::string(error.what()).find("metrics.csv"), std::string::npos);
  }
  set_log_sink({});
}

TEST_F(Metrics, AFullDiskIsAnErrorAtTheStart) {
  set_fault_plan("write:1:ENOSPC");
  EXPECT_THROW(MetricsLog(folder_.path(), {"step"}), Error);
}

TEST_F(Metrics, KilledTruncationKeepsTheOldFile) {
  run(1, 5);
  set_fault_plan("rename:1:EIO");
  EXPECT_THROW(run(3, 3, 2), Error);
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace dcl
