// Pretraining from outside: what a run leaves and says, and that repetition changes nothing.
#include <filesystem>
#include <fstream>

#include "support/event_reader.h"
#include "support/pretrain_runs.h"

namespace dcl::test {
namespace {

/// What a run says that its steps take.
int64_t mebibytes_of(const Outcome& outcome) {
  const std::string before = "memory: ";
  const size_t at = outcome.err.find(before);
  return at == std::string::npos ? 0 : std::stoll(outcome.err.substr(at + before.size()));
}

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
  ASSERT_EQ(run(tiny_run(dir, {"--tensorboard"})).exit_code, 0);
  EXPECT_EQ(event_files(dir).size(), 1u) << "of a run that was complete already";
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
      {"--objective", "decoupled"},
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
