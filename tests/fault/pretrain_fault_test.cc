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

constexpr uint64_t kRunBytes = 600'000'000;  // of a tiny run: three checkpoints, and one being written
const std::vector<std::string> kEveryStep = {"--checkpoint_every", "1", "--no_knn"};

std::string final_model() {
  static const TemporaryFolder folder(kRunBytes);
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
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  int kills = 0;
  for (int wait_ms = 100; wait_ms <= 2000; wait_ms += 450) {
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

/// Names in a run directory and its checkpoints that a killed writer left.
int temporaries(const std::string& dir) {
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir))
    count += entry.path().filename().string().find(".tmp.") != std::string::npos;
  return count;
}

/// Every operation of a checkpoint is tried by the unit test of checkpoints; here, one of each kind in a whole run.
TEST(Fault, KilledInsideACheckpointTheRunEndsWithTheSameWeights) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  auto argv = tiny_run(dir, kEveryStep);
  argv.insert(argv.end(), {"--keep_last", "1"});
  int left_over = 0;
  // In the state's writes, before the model, in its writes, before its name, before `latest`, while pruning.
  for (const char* fault : {"write:20", "open:2", "write:100", "rename:2", "symlink:1", "unlink:2"}) {
    const Outcome killed = run(argv, {{"DCL_FAULT", "checkpoint/" + std::string(fault) + ":KILL"}});
    ASSERT_EQ(killed.exit_code, 128 + SIGKILL) << fault << ": " << killed.err;
    left_over += temporaries(dir);
  }
  EXPECT_GE(left_over, 3);
  const Outcome last = run(argv);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
  EXPECT_EQ(temporaries(dir), 0);
}

TEST(Fault, TemporariesOfAKilledRunAreRemovedWhenTheNextOneStarts) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  for (const char* fault :
       {"any:4:KILL", "checkpoint/fsync:1:KILL"}) {  // in the run's own files, and in its checkpoints
    EXPECT_EQ(run(tiny_run(dir, kEveryStep), {{"DCL_FAULT", fault}}).exit_code, 128 + SIGKILL);
    ASSERT_GE(temporaries(dir), 1) << fault;
    EXPECT_EQ(run(tiny_run(dir, {"--batch_size", "31"})).exit_code, 2) << "which does no more than to start";
    EXPECT_EQ(temporaries(dir), 0) << fault;
  }
}

TEST(Fault, FullDiskIsSurvivedThenReported) {
  const TemporaryFolder folder(kRunBytes);
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
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1", "--no_knn"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, kEveryStep), {{"DCL_FAULT", "rename:8:EIO"}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Fault, DamagedCheckpointFallsBackToTheOlderOne) {
  const TemporaryFolder folder(kRunBytes);
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
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1", "--no_knn"})).exit_code, 0);
  flip_byte(file_of(dir, 1, /*state=*/true), 0.5);
  EXPECT_EQ(run(tiny_run(dir, {"--resume", "must"})).exit_code, 3);
}

TEST(Fault, SecondRunInADirectoryIsTurnedAway) {
  const TemporaryFolder folder(kRunBytes);
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
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  const Outcome outcome =
      run(tiny_run(dir, {"--lr", "1e38", "--checkpoint_every", "100", "--epochs", "10", "--no_knn"}));
  EXPECT_EQ(outcome.exit_code, 6) << outcome.err;
  EXPECT_FALSE(fs::exists(model_of(dir)));
  const std::string log = read_text(dir + "/train.log");
  EXPECT_NE(log.find("Z error: the "), std::string::npos) << "what it ended with is in its log: " << log;
}

}  // namespace
}  // namespace dcl::test
