// Pretraining from outside: that interruption and resuming change nothing, and what is refused where they would.
#include <csignal>
#include <filesystem>
#include <thread>

#include "support/pretrain_runs.h"

namespace dcl::test {
namespace {

TEST_F(Pretrain, StopAtAnArbitraryStepAndResumeIsTheSameRun) {
  const std::string dir = fresh("stopped");
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "2"})).exit_code, 0);
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "5", "--resume", "must"})).exit_code, 0);
  const Outcome last = run(tiny_run(dir));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  expect_same_end(whole(), dir);
}

/// Epochs of another number of steps behind it change neither how many are left nor where on the schedule they are.
TEST_F(Pretrain, OverriddenBatchSizeLeavesTheNumberOfEpochs) {
  const std::vector<std::string> cosine = {"--epochs", "4", "--schedule", "cosine", "--no_knn"};
  const auto cosine_run = [&](const std::string& dir, const std::vector<std::string>& more) {
    auto argv = tiny_run(dir, cosine);
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv);
  };
  const std::string reference = fresh("of_larger");
  ASSERT_EQ(cosine_run(reference, {"--batch_size", "15"}).exit_code, 0);
  std::vector<double> rates;
  for (const json& record : records(reference)) rates.push_back(record.at("lr"));
  ASSERT_EQ(rates.size(), 8u);
  const std::string dir = fresh("overridden");
  ASSERT_EQ(cosine_run(dir, {"--max_steps", "6"}).exit_code, 0);  // two epochs
  const Outcome refused = cosine_run(dir, {"--batch_size", "15"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("batch_size 8 -> 15"), std::string::npos) << refused.err;
  const Outcome outcome = cosine_run(dir, {"--batch_size", "15", "--resume_override"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("continuing after step 6 of 10"), std::string::npos) << outcome.err;
  ASSERT_EQ(losses(dir).size(), 10u);
  const std::vector<json> all = records(dir);
  for (size_t i = 6; i < 10; ++i) {
    EXPECT_EQ(all[i].at("epoch"), i < 8 ? 3 : 4);
    EXPECT_EQ(all[i].at("lr"), rates[i - 2]);
  }
}

TEST_F(Pretrain, GoesOnInTheTypeOfItsCheckpoint) {
  const auto config = [](const std::string& dir) { return read_text(dir + "/config.toml"); };
  EXPECT_EQ(config(whole()).find("dtype = \"auto\""), std::string::npos) << "what was taken is kept";
  const std::string dir = fresh("bf16");
  ASSERT_EQ(run(tiny_run(dir, {"--no_knn", "--max_steps", "1", "--dtype", "bf16"})).exit_code, 0);
  const Outcome refused = run(tiny_run(dir, {"--no_knn", "--max_steps", "2", "--dtype", "f32"}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("dtype bf16 -> f32"), std::string::npos) << refused.err;
  const Outcome outcome = run(tiny_run(dir, {"--no_knn", "--max_steps", "2"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(config(dir).find("dtype = \"bf16\""), std::string::npos);
  const std::string at_once = fresh("bf16_at_once");
  ASSERT_EQ(run(tiny_run(at_once, {"--no_knn", "--max_steps", "2", "--dtype", "bf16"})).exit_code, 0);
  EXPECT_EQ(losses(dir), losses(at_once));
}

TEST_F(Pretrain, OverrideDoesNotTakeTheStateOfAnotherOptimizer) {
  const std::string dir = fresh("other_optimizer");
  ASSERT_EQ(run(tiny_run(dir, {"--no_knn", "--max_steps", "1"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, {"--no_knn", "--optimizer", "sgd", "--resume_override"}));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("it holds the state of adam"), std::string::npos) << outcome.err;
}

TEST_F(Pretrain, TerminatedRunSavesAndContinues) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const std::string dir = fresh("terminated" + std::to_string(signal));
    Background running(tiny_run(dir, {"--checkpoint_every", "1"}));
    while (running.running() && !std::filesystem::exists(file_of(dir, 1)))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    running.send(signal);
    const Outcome outcome = running.wait();
    ASSERT_EQ(outcome.exit_code, 75) << outcome.err;
    const Outcome again = run(tiny_run(dir, {"--checkpoint_every", "1"}));
    ASSERT_EQ(again.exit_code, 0) << again.err;
    expect_same_end(whole(), dir);
  }
}

/// Images are not waited for longer than a scheduler waits before it kills.
TEST_F(Pretrain, ASignalWhileManyImagesAreReadEndsTheRun) {
  const std::string dir = fresh("read");
  Background running(tiny_run(dir, {"--shapes_count", "600000", "--threads", "1"}));
  while (running.running() && running.errors_so_far().empty())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_NE(outcome.err.find("interrupted before the first step"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("600000 images"), std::string::npos) << "they are all read: " << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(dir + "/checkpoints/latest"));
}

TEST_F(Pretrain, FinishedRunStaysFinished) {
  const std::string before = read_text(file_of(whole(), kTinySteps));
  const Outcome outcome = run(tiny_run(whole()));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(losses(whole()).size(), static_cast<size_t>(kTinySteps));
  EXPECT_TRUE(read_text(file_of(whole(), kTinySteps)) == before);
}

TEST_F(Pretrain, ACompleteRunSaysSo) {
  const std::string dir = fresh("complete");
  const Outcome first = run(tiny_run(dir));
  ASSERT_EQ(first.exit_code, 0);
  EXPECT_EQ(first.err.find("complete already"), std::string::npos) << first.err;
  const Outcome again = run(tiny_run(dir));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("the run was complete already; with more --epochs it goes on"), std::string::npos)
      << again.err;
}

TEST_F(Pretrain, RunBeyondTheAskedForEpochsKeepsItsRecord) {
  const std::string dir = fresh("beyond");
  ASSERT_EQ(run(tiny_run(dir)).exit_code, 0);
  const std::string before = read_text(dir + "/config.toml");
  const Outcome outcome = run(tiny_run(dir, {"--epochs", "1"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("nothing to do"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_text(dir + "/config.toml"), before) << "it repeats the run that is there";
}

TEST_F(Pretrain, SettingsThatChangeTheTrajectoryAreRefusedOnResume) {
  const std::string dir = fresh("changed");
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "1"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, {"--tau_plus", "0.05", "--lr", "0.01"}));
  EXPECT_EQ(outcome.exit_code, 2);
  for (const char* word : {"tau_plus", "0.1", "0.05", "lr", "0.01"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  const Outcome knowingly = run(tiny_run(dir, {"--tau_plus", "0.05", "--lr", "0.01", "--resume_override"}));
  EXPECT_EQ(knowingly.exit_code, 0) << knowingly.err;
  for (const char* word : {"warning: ", "lr 0.001 -> 0.01", "tau_plus 0.1 -> 0.05"})
    EXPECT_NE(knowingly.err.find(word), std::string::npos) << knowingly.err;
  EXPECT_EQ(run(tiny_run(dir, {"--resume", "never"})).exit_code, 2)
      << "a run directory with checkpoints is not written over";
  EXPECT_EQ(run(tiny_run(fresh("nothing"), {"--resume", "must"})).exit_code, 3);
}

TEST_F(Pretrain, OverrideIntoAShorterEpochStartsTheNextOne) {
  const std::string dir = fresh("shorter");
  ASSERT_EQ(run(tiny_run(dir, {"--max_steps", "2"})).exit_code, 0);
  const Outcome outcome =
      run(tiny_run(dir, {"--batch_size", "15", "--resume_override"}));  // 2 steps an epoch: 3 in all
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("batch_size 8 -> 15"), std::string::npos) << outcome.err;
  std::vector<int> epochs;
  for (const json& record : records(dir))
    if (record.at("split") == "train") epochs.push_back(record.at("epoch"));
  EXPECT_EQ(epochs, (std::vector<int>{1, 1, 2, 2}));
}

/// A run of one step with some flags, continued with others.
Outcome continued(const std::string& dir, const std::vector<std::string>& first, const std::vector<std::string>& then) {
  auto argv = tiny_run(dir, {"--max_steps", "1", "--no_knn"});
  argv.insert(argv.end(), first.begin(), first.end());
  EXPECT_EQ(run(argv).exit_code, 0);
  argv = tiny_run(dir, {"--max_steps", "2", "--no_knn"});
  argv.insert(argv.end(), then.begin(), then.end());
  return run(argv);
}

TEST_F(Pretrain, AnotherBackendOrThreadCountIsWarnedOfWhereItMatters) {
  const auto eigen =
      continued(fresh("eigen"), {"--device", "eigen", "--threads", "1"}, {"--device", "eigen", "--threads", "2"});
  EXPECT_EQ(eigen.exit_code, 0) << eigen.err;
  EXPECT_EQ(eigen.err.find("not bit for bit"), std::string::npos) << eigen.err;
  if (run(tiny_run(fresh("probe"), {"--device", "onednn", "--max_steps", "1", "--no_knn"})).exit_code == 4)
    GTEST_SKIP() << "no oneDNN";
  const auto threads =
      continued(fresh("onednn"), {"--device", "onednn", "--threads", "1"}, {"--device", "onednn", "--threads", "2"});
  EXPECT_EQ(threads.exit_code, 0) << threads.err;
  EXPECT_NE(threads.err.find("not bit for bit: threads 1 -> 2"), std::string::npos) << threads.err;
  const auto backend = continued(fresh("both"), {"--device", "onednn"}, {"--device", "eigen"});
  EXPECT_EQ(backend.exit_code, 0) << backend.err;
  EXPECT_NE(backend.err.find("backend onednn -> eigen"), std::string::npos) << backend.err;
}

TEST_F(Pretrain, ResumeFromAFileOfAnotherRun) {
  const std::string dir = fresh("from_file"), source = fresh("source");
  ASSERT_EQ(run(tiny_run(source, {"--max_steps", "4"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, {"--resume", file_of(source, 4)}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(read_text(file_of(whole(), kTinySteps)) == read_text(file_of(dir, kTinySteps)));
}

TEST_F(Pretrain, RunThatBeganWithAFileContinuesWithItsOwnCheckpoints) {
  const std::string dir = fresh("began_with_file"), source = fresh("began_from");
  ASSERT_EQ(run(tiny_run(source, {"--max_steps", "2"})).exit_code, 0);
  const std::vector<std::string> command = {"--resume", file_of(source, 2)};
  ASSERT_EQ(run(tiny_run(dir, {"--resume", file_of(source, 2), "--max_steps", "4"})).exit_code, 0);
  const Outcome again = run(tiny_run(dir, command));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("continuing after step 4"), std::string::npos) << again.err;
  EXPECT_TRUE(read_text(file_of(whole(), kTinySteps)) == read_text(file_of(dir, kTinySteps)));
}

TEST_F(Pretrain, GoingBackWithinARunNeedsAnotherDirectory) {
  const std::string dir = fresh("going_back");
  const std::vector<std::string> often = {"--max_steps", "3", "--checkpoint_every", "1", "--keep_last", "9"};
  ASSERT_EQ(run(tiny_run(dir, often)).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, {"--resume", file_of(dir, 1)}));
  EXPECT_EQ(outcome.exit_code, 2) << "the abandoned steps 2 and 3 would be taken for the continuation later";
  EXPECT_NE(outcome.err.find("up to step 3"), std::string::npos) << outcome.err;
  write_text(file_of(dir, 3), "damaged");
  EXPECT_EQ(run(tiny_run(dir, {"--resume", file_of(dir, 2), "--max_steps", "3"})).exit_code, 0)
      << "nothing valid is later";
  const Outcome missing = run(tiny_run(dir, {"--resume", "mayhap"}));
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("auto, never, must"), std::string::npos) << missing.err;
}

TEST_F(Pretrain, InterruptedRunInADirectoryOfItsOwnNamesIt) {
  const TemporaryFolder folder;
  std::vector<std::string> argv = tiny_run("", {"--max_steps", "400", "--epochs", "200"});
  argv.insert(argv.begin(), {"/usr/bin/env", "-C", folder.path()});
  Background running(argv);
  while (running.running() && running.errors_so_far().find("starting after") == std::string::npos)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  ASSERT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_NE(outcome.err.find("--run_dir runs/"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace dcl::test
