// dcl-knn, dcl-linear, dcl-embed and dcl-audit on the encoder of a tiny run.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/registry.h"
#include "io/npy.h"
#include "io/safetensors.h"
#include "support/cli.h"
#include "support/tiny_run.h"
#include "train/model_file.h"

namespace dcl::test {
namespace {

using nlohmann::json;

class Evaluation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const Outcome outcome = run(tiny_run(*folder_ / "run", {"--max_steps", "2", "--no_knn"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::vector<std::string> with_model(const std::string& program, const std::vector<std::string>& more) {
    return with(program, {"--model_path", model_of(*folder_ / "run")}, more);
  }
  static std::vector<std::string> with(const std::string& program, const std::vector<std::string>& encoder,
                                       const std::vector<std::string>& more) {
    std::vector<std::string> argv = {app(program), "--dataset",     "shapes", "--shapes_count",
                                     "40",         "--shapes_size", "16"};
    argv.insert(argv.end(), encoder.begin(), encoder.end());
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  /// What a figure was computed from and on stands beside it.
  static void expect_context(const json& result) {
    EXPECT_EQ(result.at("dataset"), "shapes");
    EXPECT_EQ(result.at("split"), "train");
    EXPECT_EQ(result.at("images"), 40);
    EXPECT_EQ(result.at("test_split"), "test");
    EXPECT_EQ(result.at("test_images"), 8);
    EXPECT_EQ(result.at("classes"), 10);
    EXPECT_EQ(result.at("arch"), "resnet18");
    EXPECT_EQ(result.at("stem"), "cifar");
    EXPECT_EQ(result.at("untrained"), false);
    EXPECT_TRUE(result.at("model_path").is_string());
    for (const char* key : {"seed", "device", "dtype", "version"}) EXPECT_TRUE(result.contains(key)) << key;
    EXPECT_EQ(result.at("shapes_size"), 16);
    EXPECT_EQ(result.at("shorter_side"), 0);
    EXPECT_GE(result.at("threads"), 1);
    EXPECT_FALSE(result.contains("json")) << "no setting";
  }
  /// Every program that evaluates an encoder ends with exit code 6 and these words, and leaves no file.
  static void expect_not_finite(const ParameterStore& store, const std::string& words) {
    const std::string damaged = *folder_ / "damaged.safetensors", out = *folder_ / "damaged.npy";
    const std::string map = *folder_ / "damaged.svg", pairs = *folder_ / "damaged.csv";
    write_safetensors(damaged, model_sources(store), {});
    for (const auto& [program, more] : {std::pair<std::string, std::vector<std::string>>{"dcl-knn", {}},
                                        {"dcl-embed", {"--out", out, "--map", map, "--map_method", "pca"}},
                                        {"dcl-audit", {"--out", pairs}},
                                        {"dcl-linear", {"--protocol", "frozen"}}}) {
      const Outcome outcome = run(with(program, {"--model_path", damaged}, more));
      EXPECT_EQ(outcome.exit_code, 6) << program << ": " << outcome.out << outcome.err;
      EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    }
    EXPECT_FALSE(std::filesystem::exists(out));
    EXPECT_FALSE(std::filesystem::exists(map));
    EXPECT_FALSE(std::filesystem::exists(pairs));
  }
  static void expect_percent(const json& value) {
    ASSERT_TRUE(value.is_number()) << value;
    EXPECT_GE(value.get<double>(), 0);
    EXPECT_LE(value.get<double>(), 100);
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

TEST_F(Evaluation, AnotherNetworkThanTheFilesIsTold) {
  const auto told = [](const std::vector<std::string>& more) { return run(with_model("dcl-knn", more)).err; };
  EXPECT_NE(told({"--arch", "resnet50"}).find("--arch resnet50 has no effect"), std::string::npos);
  EXPECT_NE(told({"--stem", "imagenet"}).find("--stem imagenet has no effect"), std::string::npos);
  EXPECT_EQ(told({"--arch", "resnet18"}).find("no effect"), std::string::npos);
  EXPECT_EQ(told({}).find("no effect"), std::string::npos);
}

TEST_F(Evaluation, KnnPrintsOneJsonObject) {
  const json result = json_of(with_model("dcl-knn", {"--k", "10", "--json"}));
  expect_percent(result.at("knn_top1"));
  EXPECT_GE(result.at("knn_top5"), result.at("knn_top1"));
  EXPECT_EQ(result.at("bank"), 40);
  EXPECT_EQ(result.at("queries"), 8);
  EXPECT_EQ(result.at("k"), 10);
  EXPECT_EQ(result.at("batch_size"), 256);
  expect_context(result);
}

TEST_F(Evaluation, KnnOfTheBankAgainstItselfWithOneNeighbourIsPerfect) {
  EXPECT_EQ(json_of(with_model("dcl-knn", {"--k", "1", "--test_split", "train", "--json"})).at("knn_top1"), 100.0);
}

TEST_F(Evaluation, LinearReportsItsProtocol) {
  for (const std::string protocol : {"batch", "frozen"}) {
    const json result = json_of(with_model(
        "dcl-linear", {"--protocol", protocol, "--epochs", "2", "--batch_size", "16", "--image_size", "16", "--json"}));
    expect_percent(result.at("top1"));
    EXPECT_GE(result.at("top5"), result.at("top1"));
    EXPECT_EQ(result.at("protocol"), protocol);
    EXPECT_EQ(result.at("lr"), 1e-3);
    EXPECT_EQ(result.at("weight_decay"), 1e-6);
    EXPECT_EQ(result.at("batch_size"), 16);
    EXPECT_EQ(result.at("image_size"), 16);
    EXPECT_EQ(result.at("eval_size"), 0);
    expect_context(result);
  }
}

TEST_F(Evaluation, LinearFrozenFitsItsTrainingImages) {
  const json result = json_of(with_model(
      "dcl-linear", {"--protocol", "frozen", "--epochs", "300", "--lr", "0.02", "--test_split", "train", "--json"}));
  EXPECT_EQ(result.at("top1"), 100.0);
}

TEST_F(Evaluation, LinearFrozenOnAugmentedCopies) {
  expect_percent(json_of(with_model("dcl-linear", {"--protocol", "frozen", "--views", "2", "--epochs", "3",
                                                   "--image_size", "16", "--json"}))
                     .at("top1"));
}

TEST_F(Evaluation, FeaturesThatAreNotFiniteAreNotCounted) {
  const auto backend = make_backend("eigen");
  ParameterStore store(*backend, {.arch = "resnet18", .head = false}, /*with_gradients=*/false);
  const auto first = [&](const char* name) { return static_cast<float*>(store.tensor(store.entry(name)).data); };
  // Rectifiers may take what is not a number for 0, so that no feature shows these.
  store.initialise(5);
  *first("f.0.weight") = std::numeric_limits<float>::quiet_NaN();
  expect_not_finite(store, "the encoder's weights are not finite");
  store.initialise(5);
  *first("f.1.running_var") = std::numeric_limits<float>::infinity();
  expect_not_finite(store, "the encoder's running statistics of batch norm are not finite");
  store.initialise(5);
  *first("f.1.running_var") = -1;
  expect_not_finite(store, "'f.1' has no finite scale and offset for channel 0, whose running_var is -1");
  store.initialise(5);
  *first("f.6.1.bn2.weight") = *first("f.6.1.bn2.bias") = std::numeric_limits<float>::max();
  expect_not_finite(store, "the features of image 0 ('train/0') are not finite");
}

TEST_F(Evaluation, LinearRefusesWhatItCannotDoBeforeItBegins) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& words) {
    const Outcome outcome = run(with_model("dcl-linear", more));
    EXPECT_EQ(outcome.exit_code, 2) << more[1] << ": " << outcome.out << outcome.err;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    return outcome.err;
  };
  refused({"--image_size", "8", "--batch_size", "39"}, "the last batch of an epoch has one image");
  EXPECT_EQ(refused({"--lr", "0"}, "lr must be positive").find("data:"), std::string::npos)
      << "no data set is read before";
  refused({"--views", "2"}, "--protocol frozen");
  EXPECT_EQ(run(with_model("dcl-linear", {"--image_size", "9", "--batch_size", "39", "--epochs", "1"})).exit_code, 0);
}

TEST_F(Evaluation, ARunDirectoryIsItsNewestModel) {
  json of_run = json_of(with("dcl-knn", {"--model_path", *folder_ / "run"}, {"--json"}));
  EXPECT_EQ(of_run, json_of(with_model("dcl-knn", {"--json"})));
  EXPECT_EQ(of_run["model_path"], model_of(*folder_ / "run"));
  const Outcome inspected = run({app("dcl-inspect"), *folder_ / "run"});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_EQ(inspected.out, run({app("dcl-inspect"), model_of(*folder_ / "run")}).out);
  const std::string copies[] = {*folder_ / "of_run.pth", *folder_ / "of_file.pth"};
  EXPECT_EQ(run({app("dcl-convert"), *folder_ / "run", copies[0]}).exit_code, 0);
  EXPECT_EQ(run({app("dcl-convert"), model_of(*folder_ / "run"), copies[1]}).exit_code, 0);
  EXPECT_EQ(read_text(copies[0]), read_text(copies[1]));
}

TEST_F(Evaluation, ResultsDoNotReplaceTheModelOfARunDirectory) {
  const Outcome outcome =
      run(with("dcl-audit", {"--model_path", *folder_ / "run"}, {"--out", model_of(*folder_ / "run")}));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("is the encoder itself"), std::string::npos) << outcome.err;
}

TEST_F(Evaluation, FolderInsteadOfAModelIsExplained) {
  const Outcome outcome = run(with("dcl-knn", {"--model_path", folder_->path()}, {}));
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_NE(outcome.err.find("checkpoints/latest"), std::string::npos) << outcome.err;
}

/// Images tested on themselves would look like a good encoder.
TEST_F(Evaluation, FolderWithoutSplitsIsNotBothOfThem) {
  const std::string data = *folder_ / "no_splits";
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directories(data + "/" + name);
    write_text(data + "/" + name + "/0.ppm", "P2 2 2 255 1 2 3 4");
    write_text(data + "/" + name + "/1.ppm", "P2 2 2 255 9 8 7 6");
  }
  const std::vector<std::string> folder = {"--dataset", "folder", "--data", data};
  const auto on_folder = [&](const std::string& program, const std::vector<std::string>& more) {
    std::vector<std::string> argv = with_model(program, folder);
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv);
  };
  for (const std::string program : {"dcl-knn", "dcl-linear"}) {
    const Outcome refused = on_folder(program, {});
    EXPECT_EQ(refused.exit_code, 3);
    EXPECT_NE(refused.err.find("has no splits 'train' and 'test'"), std::string::npos) << refused.err;
    EXPECT_EQ(refused.out, "");
  }
  expect_refused(on_folder("dcl-knn", {"--split", "a", "--test_split", "bee"}), 3, {"has no sub-folder 'bee'"});
  expect_refused(on_folder("dcl-knn", {"--split", "a"}), 3, {"'a' and 'test'", "one lies in the other"});
  const Outcome meant = on_folder("dcl-knn", {"--split", ".", "--test_split", ".", "--k", "1"});
  EXPECT_EQ(meant.exit_code, 0) << meant.err;
  EXPECT_EQ(meant.err.find("neighbours of every image"), std::string::npos) << meant.err;
  const Outcome everyone = on_folder("dcl-knn", {"--split", ".", "--test_split", ".", "--k", "4"});
  EXPECT_NE(everyone.err.find("all 4 images of the kNN bank are neighbours of every image"), std::string::npos);
  const Outcome held_out = on_folder("dcl-knn", {"--holdout", "0.5", "--k", "1", "--json"});
  ASSERT_EQ(held_out.exit_code, 0) << held_out.err;
  const auto figures = nlohmann::json::parse(held_out.out);
  EXPECT_EQ(figures.at("bank"), 2);
  EXPECT_EQ(figures.at("queries"), 2);
  EXPECT_EQ(figures.at("test_split"), "train (held out)");
  EXPECT_EQ(figures.at("holdout"), 0.5);
  const Outcome unmonitored = run(tiny_run(
      *folder_ / "unmonitored", {"--dataset", "folder", "--data", data, "--max_steps", "1", "--batch_size", "2"}));
  EXPECT_EQ(unmonitored.exit_code, 0) << unmonitored.err;
  EXPECT_NE(unmonitored.err.find("kNN monitor is off: folder: "), std::string::npos) << unmonitored.err;
  const Outcome repeated = run({app("dcl-pretrain"), "--config", *folder_ / "unmonitored/config.toml", "--run_dir",
                                *folder_ / "unmonitored again", "--max_steps", "1"});
  EXPECT_EQ(repeated.exit_code, 0) << repeated.err;
}

TEST_F(Evaluation, NamesOfSkippedImagesCannotDrawOnTheTerminal) {
  const std::string data = *folder_ / "skipped";
  std::filesystem::create_directories(data);
  for (int i = 0; i < 100; ++i) write_text(data + "/" + std::to_string(i) + ".ppm", "P2 2 2 255 1 2 3 4");
  write_text(data + "/\x1b[31m\n.png", "");
  const Outcome outcome =
      run(with_model("dcl-embed", {"--dataset", "folder", "--data", data, "--out", *folder_ / "skipped.npy"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("the first: \\x1b[31m\\n.png: the file is empty"), std::string::npos) << outcome.err;
}

TEST_F(Evaluation, UntrainedEncoderIsTheSameForTheSameSeed) {
  const auto features = [&](const std::string& seed, const std::string& name) {
    const std::string out = *folder_ / name;
    const Outcome outcome =
        run(with("dcl-embed", {"--untrained", "--arch", "resnet18", "--seed", seed}, {"--out", out}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_npy_f32(out).values;
  };
  const auto one = features("1", "u1.npy");
  EXPECT_EQ(one, features("1", "u1b.npy"));
  EXPECT_NE(one, features("2", "u2.npy"));
}

TEST_F(Evaluation, ResizedEvaluation) {
  json resized = json_of(with_model("dcl-knn", {"--eval_size", "16", "--k", "5", "--json"}));
  const json own = json_of(with_model("dcl-knn", {"--k", "5", "--json"}));
  EXPECT_EQ(resized.at("eval_size"), 16);
  resized["eval_size"] = 0;
  EXPECT_EQ(own, resized) << "16 is their own size";
  expect_percent(json_of(with_model("dcl-knn", {"--eval_size", "24", "--k", "5", "--json"})).at("knn_top1"));
}

}  // namespace
}  // namespace dcl::test
