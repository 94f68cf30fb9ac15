// Pretraining from outside: what a run leaves, and that interruption, resuming and repetition change nothing.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "support/event_reader.h"
#include "support/tiny_run.h"

namespace dcl::test {
namespace {

using nlohmann::json;

std::vector<json> records(const std::string& run_dir) {
  std::istringstream text(read_text(run_dir + "/metrics.jsonl"));
  std::vector<json> all;
  for (std::string line; std::getline(text, line);) all.push_back(json::parse(line));
  return all;
}

/// step -> loss of the training records, which must come in order without gaps or repetition.
std::vector<double> losses(const std::string& run_dir) {
  std::vector<double> all;
  for (const json& record : records(run_dir)) {
    if (record.at("split") != "train") continue;
    EXPECT_EQ(record.at("step").get<size_t>(), all.size() + 1);
    all.push_back(record.at("loss"));
  }
  return all;
}

void expect_same_end(const std::string& a, const std::string& b) {
  for (const bool state : {false, true}) {
    const std::string one = read_text(file_of(a, kTinySteps, state)), two = read_text(file_of(b, kTinySteps, state));
    ASSERT_GT(one.size(), 1000u);
    EXPECT_TRUE(one == two) << (state ? "state" : "model") << " files differ";
  }
  EXPECT_EQ(losses(a), losses(b));
}

/// What a run says that its steps take.
int64_t mebibytes_of(const Outcome& outcome) {
  const std::string before = "memory: ";
  const size_t at = outcome.err.find(before);
  return at == std::string::npos ? 0 : std::stoll(outcome.err.substr(at + before.size()));
}

/// One uninterrupted run that the tests of this file compare with.
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

TEST_F(Pretrain, LeavesWhatTheDocumentsSay) {
  for (const char* name : {"config.toml", "env.json", "cmdline.txt", "metrics.csv", "metrics.jsonl",
                           "checkpoints/latest", "checkpoints/best"})
    EXPECT_TRUE(std::filesystem::exists(whole() + "/" + name)) << name;
  const auto loss = losses(whole());
  ASSERT_EQ(loss.size(), static_cast<size_t>(kTinySteps));
  for (const double value : loss) EXPECT_TRUE(value > 0 && value < 10) << value;
  bool monitored = false;
  for (const json& record : records(whole())) {
    if (record.at("split") == "train") {
      for (const char* key :
           {"epoch", "lr", "clamp_fraction", "mean_positive", "mean_negative", "images_per_second", "wait_fraction"})
        EXPECT_TRUE(record.contains(key)) << key << " in " << record;
    } else {
      monitored = true;
      EXPECT_EQ(record.at("step"), kTinySteps);
      const double top1 = record.at("knn_top1");
      EXPECT_TRUE(top1 >= 0 && top1 <= 100) << top1;
    }
  }
  EXPECT_TRUE(monitored);
}

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

TEST_F(Pretrain, OverrideDoesNotTakeTheStateOfAnotherOptimizer) {
  const std::string dir = fresh("other_optimizer");
  ASSERT_EQ(run(tiny_run(dir, {"--no_knn", "--max_steps", "1"})).exit_code, 0);
  const Outcome outcome = run(tiny_run(dir, {"--no_knn", "--optimizer", "sgd", "--resume_override"}));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("it holds the state of adam"), std::string::npos) << outcome.err;
}

TEST_F(Pretrain, BatchesInPartsAreARunOfTheirOwnThatResumes) {
  const std::vector<std::string> parts = {"--micro_batch_size", "4"};
  const std::string dir = fresh("parts"), stopped = fresh("parts_stopped");
  const Outcome in_parts = run(tiny_run(dir, parts));
  ASSERT_EQ(in_parts.exit_code, 0) << in_parts.err;
  EXPECT_FALSE(read_text(file_of(dir, kTinySteps)) == read_text(file_of(whole(), kTinySteps)));
  ASSERT_EQ(run(tiny_run(stopped, {"--micro_batch_size", "4", "--max_steps", "2"})).exit_code, 0);
  const Outcome other = run(tiny_run(stopped));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_LT(mebibytes_of(in_parts), mebibytes_of(other));
  EXPECT_NE(other.err.find("micro_batch_size 4 -> (not set)"), std::string::npos) << other.err;
  ASSERT_EQ(run(tiny_run(stopped, parts)).exit_code, 0);
  expect_same_end(dir, stopped);
  for (const char* wrong : {"1", "3", "9", "-4"}) {
    const Outcome refused = run(tiny_run(fresh("refused"), {"--micro_batch_size", wrong}));
    EXPECT_EQ(refused.exit_code, 2) << wrong;
    EXPECT_NE(refused.err.find("micro_batch_size"), std::string::npos) << refused.err;
  }
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

TEST_F(Pretrain, RunUnderNohupOutlivesItsTerminal) {
  const std::string dir = fresh("nohup");
  std::vector<std::string> argv = tiny_run(dir, {"--checkpoint_every", "1"});
  argv.insert(argv.begin(), {"/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh"});
  Background running(argv);
  while (running.running() && !std::filesystem::exists(file_of(dir, 1)))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  running.send(SIGHUP);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(Pretrain, ThreadCountDoesNotMatterOnEigen) {
  const std::string one = fresh("one_thread"), two = fresh("two_threads");
  ASSERT_EQ(run(tiny_run(one, {"--device", "eigen", "--threads", "1"})).exit_code, 0);
  ASSERT_EQ(run(tiny_run(two, {"--device", "eigen", "--threads", "2"})).exit_code, 0);
  expect_same_end(one, two);
}

TEST_F(Pretrain, ConfigFileOfARunRepeatsIt) {
  const std::string dir = fresh("repeated");
  const Outcome outcome = run({app("dcl-pretrain"), "--config", whole() + "/config.toml", "--run_dir", dir});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_same_end(whole(), dir);
}

TEST_F(Pretrain, TensorBoardShowsEveryStepAndChangesNothing) {
  const std::string dir = fresh("tensorboard");
  const Outcome outcome = run(tiny_run(dir, {"--tensorboard"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_same_end(whole(), dir);
  EXPECT_TRUE(event_files(whole()).empty());
  const auto files = event_files(dir);
  ASSERT_EQ(files.size(), 1u);
  std::vector<double> shown;
  for (const std::string& event : events_of(files[0]))
    for (const auto& summary : ProtoReader(event).all(5))
      for (const auto& field : ProtoReader(summary.text).all(1))
        if (const ProtoReader value(field.text); value.text(1) == "train/loss") {
          shown.push_back(value.number<float>(2));
          EXPECT_EQ(ProtoReader(event).integer(2), static_cast<int64_t>(shown.size()));
        }
  const auto expected = losses(dir);
  ASSERT_EQ(shown.size(), expected.size());
  for (size_t i = 0; i < shown.size(); ++i) EXPECT_EQ(shown[i], static_cast<float>(expected[i]));
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

TEST_F(Pretrain, OfDebiasedAndObjectiveTheNearerSourceCounts) {
  const TemporaryFolder folder;
  const std::string hard = folder / "hard.toml", biased = folder / "biased.toml";
  write_text(hard, "objective = \"hard\"\ndebiased = true\n");
  write_text(biased, "objective = \"biased\"\ndebiased = false\n");
  const auto recorded = [&](const std::string& name, const std::vector<std::string>& options,
                            const Environment& environment = {}) {
    auto argv = tiny_run(fresh(name), {"--max_steps", "1", "--knn", "false"});
    argv.insert(argv.end(), options.begin(), options.end());
    const Outcome outcome = run(argv, environment);
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
    const std::string config = read_text(fresh(name) + "/config.toml");
    const size_t at = config.find("\nobjective = ") + 1;
    return config.substr(at, config.find('\n', at) - at);
  };
  EXPECT_EQ(recorded("no_over_file", {"--config", hard, "--no-debiased"}), "objective = \"biased\"");
  EXPECT_EQ(recorded("yes_over_file", {"--config", biased, "--debiased"}), "objective = \"debiased\"");
  EXPECT_EQ(recorded("hard_over_all", {"--config", biased, "--objective", "hard"}, {{"DCL_DEBIASED", "no"}}),
            "objective = \"hard\"");
  EXPECT_EQ(recorded("again", {"--config", fresh("hard_over_all") + "/config.toml"}), "objective = \"hard\"")
      << "what is recorded does not contradict itself";
  EXPECT_EQ(run(tiny_run(fresh("both"), {"--no-debiased", "--objective", "hard"})).exit_code, 2);
}

TEST_F(Pretrain, NumbersBeyondCountingAreRefused) {
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--epochs", "9223372036854775807"}, {"--warmup_epochs", "1e300"}, {"--lr", "+-1"}}) {
    const Outcome outcome = run(tiny_run(fresh("huge"), more));
    EXPECT_EQ(outcome.exit_code, 2) << more[0] << ": " << outcome.err;
  }
}

TEST_F(Pretrain, EveryObjectiveAndOptimizerTrains) {
  const std::vector<std::vector<std::string>> variants = {
      {"--no-debiased"},
      {"--debiased", "false"},
      {"--objective", "hard", "--beta", "0.5"},
      {"--objective", "unbiased"},
      {"--objective", "supcon"},
      {"--num_positives", "2"},
      {"--optimizer", "sgd", "--lr", "0.05", "--schedule", "cosine", "--warmup_epochs", "1"},
      {"--optimizer", "lars", "--lr", "0.2"},
      {"--dtype", "bf16"}};
  std::vector<std::vector<double>> curves;
  for (size_t i = 0; i < variants.size(); ++i) {
    const std::string dir = fresh("variant" + std::to_string(i));
    auto argv = tiny_run(dir, {"--max_steps", "2"});
    argv.insert(argv.end(), variants[i].begin(), variants[i].end());
    const Outcome outcome = run(argv);
    ASSERT_EQ(outcome.exit_code, 0) << variants[i][0] << ": " << outcome.err;
    curves.push_back(losses(dir));
    ASSERT_EQ(curves.back().size(), 2u);
    for (const double value : curves.back()) EXPECT_TRUE(value > 0 && value < 20) << variants[i][0];
  }
  EXPECT_EQ(curves[0], curves[1]) << "--debiased false is --no-debiased";
  EXPECT_NE(curves[0], losses(whole())) << "and not the debiased objective";
}

/// Beta of three epochs is beta, beta and seven eighths of it; also after an interruption in the last of them.
TEST_F(Pretrain, AnnealedBetaIsThatOfTheEpoch) {
  const std::vector<std::string> hard = {"--objective", "hard", "--beta", "2", "--epochs", "3", "--no_knn"};
  const auto with = [&](const std::string& dir, const std::vector<std::string>& more) {
    std::vector<std::string> all = hard;
    all.insert(all.end(), more.begin(), more.end());
    const Outcome outcome = run(tiny_run(fresh(dir), all));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.err;
  };
  EXPECT_NE(with("annealed", {"--beta_anneal", "down"}).find("beta 1.75 from epoch 3 on"), std::string::npos);
  const std::vector<double> whole = losses(fresh("annealed"));
  const auto in_epoch = static_cast<int64_t>(whole.size() / 3);
  ASSERT_EQ(whole.size(), static_cast<size_t>(3 * in_epoch));

  with("stopped-anneal", {"--beta_anneal", "down", "--max_steps", std::to_string(2 * in_epoch + 1)});
  with("stopped-anneal", {"--beta_anneal", "down"});
  EXPECT_EQ(losses(fresh("stopped-anneal")), whole);

  with("by-hand", {"--max_steps", std::to_string(2 * in_epoch)});
  with("by-hand", {"--beta", "1.75", "--resume_override"});
  EXPECT_EQ(losses(fresh("by-hand")), whole);
}

TEST_F(Pretrain, ObjectivesThatKnowLabelsNeedThem) {
  const TemporaryFolder images;
  for (int i = 0; i < 8; ++i)
    write_text(images / (std::to_string(i) + ".ppm"), "P3 1 1 255 9 80 " + std::to_string(30 * i));
  const auto outcome = [&](const std::string& objective, const std::string& name) {
    return run(tiny_run(fresh(objective + name), {"--dataset", "folder", "--data", images.path(), "--objective",
                                                  objective, "--max_steps", "1", "--no-knn"}));
  };
  for (const char* objective : {"unbiased", "supcon"}) {
    const Outcome none = outcome(objective, "unlabelled");
    EXPECT_EQ(none.exit_code, 2);
    EXPECT_NE(none.err.find("no image of 'folder', split 'train', has one"), std::string::npos) << none.err;
  }
  std::filesystem::create_directory(images / "cat");
  for (const char* name : {"6.ppm", "7.ppm"})
    std::filesystem::rename(images / name, std::filesystem::path(images / "cat") / name);
  for (const char* objective : {"unbiased", "supcon"}) {
    const Outcome some = outcome(objective, "labelled");
    EXPECT_EQ(some.exit_code, 0);
    EXPECT_NE(some.err.find("6 of 8 images have no label"), std::string::npos) << some.err;
  }
}

TEST_F(Pretrain, UselessTauPlusIsWarnedOf) {
  const Outcome outcome = run(tiny_run(fresh("tau"), {"--max_steps", "1", "--tau_plus", "0.2"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("0.1192"), std::string::npos) << "the limit at temperature 0.5 is named: " << outcome.err;
  EXPECT_NE(outcome.err.find("tau_plus"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace dcl::test
