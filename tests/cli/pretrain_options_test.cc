// Options of dcl-pretrain whose effect outlives the program: what they make of a run, and what its files say of it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/cli.h"
#include "support/tiny_run.h"

namespace dcl::test {
namespace {

class PretrainOptionsTest : public testing::Test {
 protected:
  /// One step; the JSON that dcl-inspect has of its model file.
  nlohmann::json model_after(const std::string& name, std::vector<std::string> more) {
    more.insert(more.end(), {"--no_knn", "--max_steps", "1"});
    outcome_ = run(tiny_run(folder_ / name, more));
    EXPECT_EQ(outcome_.exit_code, 0) << outcome_.err;
    return nlohmann::json::parse(run({app("dcl-inspect"), model_of(folder_ / name), "--json"}).out);
  }
  void expect_refused(const std::vector<std::string>& more, const std::string& line) {
    test::expect_refused(tiny_run(folder_ / "refused", more), 2, {line});
  }

  TemporaryFolder folder_;
  Outcome outcome_;
};

// Thirty images of ten classes, drawn in turn: two others of 29 have an image's class.
TEST_F(PretrainOptionsTest, TauPlusOfTheLabels) {
  const auto model = model_after("labels", {"--tau_plus", "auto"});
  EXPECT_DOUBLE_EQ(std::stod(model.at("metadata").at("dcl.config.tau_plus").get<std::string>()), 2.0 / 29);
  const auto same = model_after("number", {"--tau_plus", "0.06896551724137931"});
  EXPECT_EQ(same.at("metadata").at("dcl.state"), model.at("metadata").at("dcl.state"));
  expect_refused({"--tau_plus", "automatic"}, "tau_plus is 'automatic', expected a number in [0, 1) or auto");
  expect_refused({"--tau_plus", "1"}, "tau_plus is 1, expected");
}

TEST_F(PretrainOptionsTest, TauPlusOfImagesWithoutLabelsHasToBeGiven) {
  const std::string images = folder_ / "images";
  std::filesystem::create_directories(images + "/train");
  for (int i = 0; i < 8; ++i)
    std::ofstream(images + "/train/" + std::to_string(i) + ".ppm", std::ios::binary) << "P6 16 16 255\n"
                                                                                     << std::string(768, char('a' + i));
  const Outcome refused =
      run({app("dcl-pretrain"), "--dataset", "folder", "--data", images, "--split", "train", "--tau_plus", "auto",
           "--batch_size", "4", "--arch", "resnet18", "--run_dir", folder_ / "run"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("--tau_plus auto takes the probability from labels"), std::string::npos) << refused.err;
}

TEST_F(PretrainOptionsTest, EvaluationShowsImagesAsTrainingDid) {
  const auto model = model_after("half", {"--normalization", "half"});
  EXPECT_EQ(model.at("metadata").at("dcl.normalization"), "half");
  const auto accuracy = [&](std::vector<std::string> more) {
    std::vector<std::string> argv = {
        app("dcl-knn"), "--dataset", "shapes", "--shapes_count", "30",           "--shapes_size",
        "16",           "--k",       "5",      "--json",         "--model_path", model_of(folder_ / "half")};
    argv.insert(argv.end(), more.begin(), more.end());
    return nlohmann::json::parse(run(argv).out);
  };
  EXPECT_EQ(accuracy({}).at("normalization"), "half");
  EXPECT_EQ(accuracy({"--normalization", "imagenet"}).at("normalization"), "imagenet");
  EXPECT_FALSE(model_after("published", {}).at("metadata").contains("dcl.normalization"));
}

TEST_F(PretrainOptionsTest, ViewsShapeTheTrajectory) {
  const auto published = model_after("views", {});
  for (const std::string option : {"--crop_min_scale", "--flip_probability", "--jitter_probability",
                                   "--jitter_strength", "--gray_probability", "--blur_probability"}) {
    const auto other = model_after("views" + option, {option, "0.9"});
    EXPECT_NE(other.at("metadata").at("dcl.state"), published.at("metadata").at("dcl.state")) << option;
  }
  const auto same =
      model_after("again", {"--jitter_strength", "0.5", "--normalization", "published", "--bn_groups", "1"});
  EXPECT_EQ(same.at("metadata"), published.at("metadata"));

  const Outcome refused = run(tiny_run(folder_ / "views", {"--crop_min_scale", "0.2", "--jitter_strength", "1"}));
  EXPECT_EQ(refused.exit_code, 2);
  for (const char* what : {"crop_min_scale (not set) -> 0.2", "brightness (not set) -> 0.8", "hue (not set) -> 0.2"})
    EXPECT_NE(refused.err.find(what), std::string::npos) << refused.err;
}

TEST_F(PretrainOptionsTest, EstimateSaysWhatTheRunWouldTakeAndLeavesNothing) {
  const std::string dir = folder_ / "estimate";
  const Outcome outcome =
      run(tiny_run(dir, {"--estimate", "--epochs", "30", "--test_every", "7", "--keep_every", "20"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(dir));
  const auto expect_line = [&](const std::string& what, const std::string& value) {
    const std::string line = "\n" + what + std::string(12 - what.size(), ' ') + value;
    EXPECT_NE(("\n" + outcome.out).find(line), std::string::npos) << line << " in " << outcome.out;
  };
  expect_line("steps", "3 an epoch, 90 in all\n");
  // The newest two, the best one, and steps 20, 40, 60 and 80: of 11,497,664 parameters and Adam's two averages.
  expect_line("disk", "921 MiB: 7 checkpoints of 132 MiB\n");
  EXPECT_NE(outcome.out.find("5 of 36 images, "), std::string::npos) << outcome.out;
  for (const char* what : {"step", "memory", "training", "kNN", "in all"}) expect_line(what, "");

  const Outcome short_run = run(tiny_run(dir, {"--estimate", "--no_knn", "--max_steps", "5"}));
  EXPECT_NE(short_run.out.find("3 an epoch, 5 in all\n"), std::string::npos) << short_run.out;
  EXPECT_EQ(short_run.out.find("kNN"), std::string::npos) << short_run.out;
}

TEST_F(PretrainOptionsTest, NesterovIsOfSgd) {
  const auto weights = [&](const std::string& name, const std::vector<std::string>& more) {
    return model_after(name, more).at("metadata").at("dcl.state");
  };
  const auto plain = weights("sgd", {"--optimizer", "sgd"});
  EXPECT_NE(weights("nesterov", {"--optimizer", "sgd", "--nesterov"}), plain);
  expect_refused({"--nesterov"}, "nesterov needs --optimizer sgd and a momentum above 0");
  expect_refused({"--optimizer", "sgd", "--nesterov", "--momentum", "0"}, "nesterov needs");
}

TEST_F(PretrainOptionsTest, WhatHasNoEffectIsTold) {
  model_after("vain", {"--beta_anneal", "down", "--final_lr", "5", "--momentum", "0.5", "--negative_scale", "sum"});
  for (const char* line :
       {"beta_anneal has no effect: it is of objective hard",
        "negative_scale has no effect: it is of objective unbiased",
        "momentum has no effect: it is of optimizers sgd and lars", "final_lr has no effect: it is of schedule cosine"})
    EXPECT_NE(outcome_.err.find(line), std::string::npos) << outcome_.err;
  model_after("meant", {"--objective", "hard", "--beta_anneal", "down", "--schedule", "cosine", "--final_lr", "1e-4",
                        "--optimizer", "sgd", "--momentum", "0.5"});
  EXPECT_EQ(outcome_.err.find("has no effect"), std::string::npos) << outcome_.err;
}

TEST_F(PretrainOptionsTest, GroupsOfBatchNorm) {
  const auto whole = model_after("whole", {}), groups = model_after("groups", {"--bn_groups", "2"});
  EXPECT_NE(groups.at("metadata").at("dcl.state"), whole.at("metadata").at("dcl.state"));
  EXPECT_EQ(groups.at("metadata").at("dcl.config.bn_groups"), "2");
  for (const char* wrong : {"0", "3", "8", "-2"}) expect_refused({"--bn_groups", wrong}, "bn_groups is");
  expect_refused({"--bn_groups", "4", "--micro_batch_size", "4"},
                 "bn_groups is 4: expected parts of 2 or more images of 4");
}

// Three images of each class: of 0.7 of them two are known.
TEST_F(PretrainOptionsTest, LabelsThatAreWrongOrMissing) {
  const std::vector<std::string> unbiased{"--objective", "unbiased", "--batch_size", "24"};
  const auto with = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), unbiased.begin(), unbiased.end());
    return model_after(name, more).at("metadata");
  };
  const auto plain = with("plain", {});
  EXPECT_EQ(outcome_.err.find("labels the objective knows"), std::string::npos) << outcome_.err;
  EXPECT_EQ(with("nothing", {"--label_noise", "0", "--label_fraction", "1"}), plain);
  const auto noisy = with("noisy", {"--label_noise", "0.9"}), few = with("few", {"--label_fraction", "0.7"});
  EXPECT_EQ(noisy.at("dcl.config.label_noise"), "0.9");
  EXPECT_FALSE(noisy.contains("dcl.config.label_fraction"));
  EXPECT_EQ(few.at("dcl.config.label_fraction"), "0.7");
  EXPECT_NE(noisy.at("dcl.state"), plain.at("dcl.state"));
  EXPECT_NE(few.at("dcl.state"), plain.at("dcl.state"));
  const std::string line =
      "of 30 labels the objective knows 20, 0 of them wrong: it takes 33.3% of the pairs of one class for such, "
      "and 0% of the pairs that it takes for such are of two classes";
  EXPECT_NE(outcome_.err.find(line), std::string::npos) << outcome_.err;
  EXPECT_NE(read_text(folder_ / "few/train.log").find(line), std::string::npos);
  const auto facts = nlohmann::json::parse(read_text(folder_ / "few/env.json"));
  EXPECT_EQ(facts.at("labels"), "30");
  EXPECT_EQ(facts.at("labels_known"), "20");
  EXPECT_EQ(facts.at("labels_wrong"), "0");
  EXPECT_EQ(facts.at("known_pairs_wrong"), "0");
  EXPECT_NE(nlohmann::json::parse(read_text(folder_ / "noisy/env.json")).at("labels_wrong"), "0");
  const auto supervised = with("supcon", {"--objective", "supcon", "--label_noise", "0.9"});
  EXPECT_NE(supervised.at("dcl.state"), noisy.at("dcl.state"));
  EXPECT_EQ(supervised.at("dcl.config.objective"), "supcon");
  EXPECT_EQ(supervised.at("dcl.config.label_noise"), "0.9");
  EXPECT_FALSE(supervised.contains("dcl.config.negative_scale"));
}

TEST_F(PretrainOptionsTest, RunWithWrongLabelsContinuesAndRepeats) {
  const auto model_at_end = [&](const std::string& name, const std::vector<std::string>& argv) {
    const Outcome outcome = run(argv);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.exit_code == 0 ? read_text(model_of(folder_ / name)) : outcome.err;
  };
  const auto until = [&](const std::string& name, const char* steps, const char* threads) {
    return model_at_end(
        name, tiny_run(folder_ / name, {"--objective", "unbiased", "--device", "eigen", "--no_knn", "--label_noise",
                                        "0.4", "--label_fraction", "0.7", "--max_steps", steps, "--threads", threads}));
  };
  const std::string whole = until("whole", "4", "2");
  EXPECT_NE(until("parts", "2", "1"), whole);
  EXPECT_EQ(until("parts", "4", "2"), whole);
  EXPECT_EQ(model_at_end("again", {app("dcl-pretrain"), "--config", folder_ / "whole/config.toml", "--max_steps", "4",
                                   "--run_dir", folder_ / "again"}),
            whole);
  const Outcome other = run(tiny_run(folder_ / "whole", {"--objective", "unbiased", "--label_noise", "0.2"}));
  EXPECT_EQ(other.exit_code, 2);
  for (const char* what : {"label_noise 0.4 -> 0.2", "label_fraction 0.7 -> (not set)"})
    EXPECT_NE(other.err.find(what), std::string::npos) << other.err;
}

TEST_F(PretrainOptionsTest, TheMonitorKnowsTheTrueLabels) {
  const Outcome outcome = run(tiny_run(folder_ / "run", {"--objective", "unbiased", "--label_noise", "0.9",
                                                         "--max_steps", "1", "--shapes_test_count", "100"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Outcome knn =
      run({app("dcl-knn"), "--dataset", "shapes", "--shapes_count", "30", "--shapes_size", "16", "--shapes_test_count",
           "100", "--k", "5", "--json", "--model_path", model_of(folder_ / "run")});
  const auto accuracy = nlohmann::json::parse(knn.out);
  std::istringstream metrics(read_text(folder_ / "run/metrics.jsonl"));
  int monitored = 0;
  for (std::string text; std::getline(metrics, text);) {
    const auto record = nlohmann::json::parse(text);
    if (record.at("split") != "knn") continue;
    ++monitored;
    EXPECT_EQ(record.at("knn_top1"), accuracy.at("knn_top1"));
    EXPECT_EQ(record.at("knn_top5"), accuracy.at("knn_top5"));
  }
  EXPECT_EQ(monitored, 1);
}

TEST_F(PretrainOptionsTest, WrongLabelsOfNoEffectAreRefused) {
  const std::string need =
      "label_noise above 0 and label_fraction below 1 need an objective that knows labels: "
      "--objective unbiased or supcon";
  expect_refused({"--label_noise", "0.2"}, need);
  expect_refused({"--objective", "hard", "--label_fraction", "0.5"}, need);
  expect_refused({"--no-debiased", "--label_noise", "0.2"}, need);
  expect_refused({"--objective", "unbiased", "--label_noise", "1"}, "label_noise is 1, expected a value in [0, 1)");
  expect_refused({"--objective", "unbiased", "--label_fraction", "0"},
                 "label_fraction is 0, expected a value in (0, 1]");
  expect_refused({"--objective", "unbiased", "--label_fraction", "0.1"},
                 "label_fraction 0.1 leaves no label of 'shapes', split 'train': its largest class has 3 images");
  const std::string images = folder_ / "images";
  std::filesystem::create_directories(images + "/train/cat");
  for (int i = 0; i < 8; ++i)
    std::ofstream(images + "/train/cat/" + std::to_string(i) + ".ppm") << "P3 1 1 255 9 80 " << 30 * i;
  expect_refused(
      {"--dataset", "folder", "--data", images, "--objective", "unbiased", "--label_noise", "0.2", "--no_knn"},
      "label_noise 0.2 changes labels to those of other classes, and 'folder', split 'train', has 1 in all");
}

}  // namespace
}  // namespace dcl::test
