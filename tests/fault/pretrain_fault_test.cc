// What is done to a run, and what must happen (docs/usage.md): nothing but work since the last checkpoint is lost.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/tiny_run.h"

namespace dcl::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kEveryStep = {"--checkpoint_every", "1", "--no_knn"};

std::string final_model() {
  static const TemporaryFolder folder;
  static const Outcome outcome = run(tiny_run(folder / "run", kEveryStep));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return read_text(file_of(folder / "run", kTinySteps));
}

void flip_byte(const std::string& path, double where) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto at = static_cast<std::streamoff>(where * static_cast<double>(fs::file_size(path) - 1));
  file.seekg(at);
  const char changed = static_cast<char>(file.get() ^ 0x10);
  file.seekp(at);
  file.put(changed);
}

TEST(Fault, KilledAtAnyTimeTheRunEndsWithTheSameWeights) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  int kills = 0;
  for (int wait_ms = 100; wait_ms <= 2000; wait_ms += 190) {
    Background running(tiny_run(dir, kEveryStep));
    for (int waited = 0; waited < wait_ms && running.running(); waited += 10)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!running.running()) break;
    running.send(SIGKILL);
    EXPECT_EQ(running.wait().exit_code, 128 + SIGKILL);
    ++kills;
  }
  EXPECT_GE(kills, 1);
  const Outcome last = run(tiny_run(dir, kEveryStep));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Fault, KilledInsideEveryFileOperationOfACheckpoint) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  for (const char* fault : {"open:1:KILL", "write:2:KILL", "fsync:1:KILL", "rename:1:KILL", "rename:2:KILL", "symlink:1:KILL", "unlink:1:KILL"}) {
    const Outcome killed = run(tiny_run(dir, kEveryStep), {{"DCL_FAULT", fault}});
    if (killed.exit_code == 0) break;
    EXPECT_EQ(killed.exit_code, 128 + SIGKILL) << fault << ": " << killed.err;
  }
  const Outcome last = run(tiny_run(dir, kEveryStep));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
  for (const auto& entry : fs::directory_iterator(dir + "/checkpoints"))
    EXPECT_EQ(entry.path().filename().string().find(".tmp"), std::string::npos) << "left over: " << entry.path();
}

TEST(Fault, FullDiskIsSurvivedThenReported) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1", "--no_knn"})).exit_code, 0);
  const std::string before = read_text(file_of(dir, 1));
  auto argv = tiny_run(dir, kEveryStep);
  argv.insert(argv.end(), {"--max_failed_checkpoints", "1"});
  const Outcome full = run(argv, {{"DCL_FAULT", "fsync:1+:ENOSPC"}});
  EXPECT_EQ(full.exit_code, 5) << full.err;
  EXPECT_NE(full.err.find("No space left"), std::string::npos) << full.err;
  EXPECT_TRUE(read_text(file_of(dir, 1)) == before) << "the earlier checkpoint is untouched";
  const Outcome again = run(tiny_run(dir, kEveryStep));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Fault, OneFailedCheckpointIsAWarning) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1", "--no_knn"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, kEveryStep), {{"DCL_FAULT", "rename:8:EIO"}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Fault, DamagedCheckpointFallsBackToTheOlderOne) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "3", "--checkpoint_every", "1", "--no_knn"})).exit_code, 0);
  flip_byte(file_of(dir, 3), 0.7);
  const std::string damaged = read_text(file_of(dir, 3));
  const Outcome outcome = run(tiny_run(dir, {"--checkpoint_every", "6", "--keep_last", "9", "--no_knn"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("step-00000003"), std::string::npos) << outcome.err;
  EXPECT_TRUE(read_text(file_of(dir, 3)) == damaged) << "it is left as it was";
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Fault, WithEveryCheckpointDamagedMustRefuses) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1", "--no_knn"})).exit_code, 0);
  flip_byte(file_of(dir, 1, /*state=*/true), 0.5);
  EXPECT_EQ(run(tiny_run(dir, {"--resume", "must"})).exit_code, 3);
}

TEST(Fault, SecondRunInADirectoryIsTurnedAway) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  auto argv = tiny_run(dir, kEveryStep);
  argv.insert(argv.end(), {"--epochs", "1000"});
  Background first(argv);
  for (int i = 0; i < 3000 && first.running() && !fs::exists(file_of(dir, 1)); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(first.running());
  const Outcome second = run(argv);
  EXPECT_EQ(second.exit_code, 8) << second.err;
  EXPECT_TRUE(first.running());
  first.send(SIGINT);
  EXPECT_EQ(first.wait().exit_code, 75);
}

TEST(Fault, NonFiniteLossStopsWithoutACheckpoint) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  const Outcome outcome = run(tiny_run(dir, {"--lr", "1e38", "--checkpoint_every", "100", "--epochs", "10", "--no_knn"}));
  EXPECT_EQ(outcome.exit_code, 6) << outcome.err;
  EXPECT_FALSE(fs::exists(model_of(dir)));
}

}  // namespace
}  // namespace dcl::test
