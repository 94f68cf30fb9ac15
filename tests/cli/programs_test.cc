// What every program owes its user: help, version, and one clear line with the documented exit code for bad input.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "support/cli.h"
#include "support/tiny_run.h"

namespace dcl::test {
namespace {

const std::vector<std::string> kPrograms = {"dcl-pretrain", "dcl-knn",     "dcl-linear",  "dcl-embed", "dcl-info",
                                            "dcl-convert",  "dcl-inspect", "dcl-predict", "dcl-bench", "dcl-audit"};

int lines_of(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

TEST(Programs, HelpAndVersionGoToStandardOutput) {
  for (const auto& name : kPrograms) {
    const Outcome help = run({app(name), "--help"});
    EXPECT_EQ(help.exit_code, 0) << name;
    EXPECT_NE(help.out.find(name), std::string::npos) << name;
    EXPECT_EQ(help.err, "") << name;
    const Outcome version = run({app(name), "--version"});
    EXPECT_EQ(version.exit_code, 0) << name;
    EXPECT_NE(version.out.find("0.1.0"), std::string::npos) << version.out;
  }
}

TEST(Programs, UnknownFlagSuggestsTheNearest) {
  expect_refused({app("dcl-pretrain"), "--tau_pluss", "0.1"}, 2, {"--tau_pluss", "--tau_plus"});
  expect_refused({app("dcl-knn"), "--model-pth", "x"}, 2, {"--model-pth", "--model-path"});
}

TEST(Programs, NamesOfOtherTrainersLeadToOurs) {
  expect_refused({app("dcl-pretrain"), "--estimator", "hard"}, 2, {"did you mean --objective?"});
  expect_refused({app("dcl-pretrain"), "--learning-rate", "1"}, 2, {"did you mean --lr?"});
  expect_refused({app("dcl-pretrain"), "--model", "resnet18"}, 2, {"did you mean --arch?"});
  expect_refused({app("dcl-knn"), "--model", "x.pth"}, 2, {"did you mean --model_path?"});
  expect_refused({app("dcl-bench"), "--reps", "3"}, 2, {"did you mean --repeats?"});
}

TEST(Programs, BothSpellingsOfAFlagAreTheSame) {
  const TemporaryFolder folder;
  const Outcome one = run(tiny_run(folder / "a", {"--max_steps", "1", "--tau_plus", "0.05"}));
  const Outcome two = run(tiny_run(folder / "b", {"--max-steps", "1", "--tau-plus", "0.05"}));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(read_text(model_of(folder / "a")), read_text(model_of(folder / "b")));
}

TEST(Programs, InfoIsOneJsonObject) {
  const Outcome outcome = run({app("dcl-info"), "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto info = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(info.at("version"), "0.1.0");
  bool eigen = false;
  for (const auto& backend : info.at("backends")) {
    if (backend.at("name") == "eigen") eigen = backend.at("available");
    if (!backend.at("available").get<bool>()) {
      EXPECT_NE(backend.at("reason"), "") << backend;
    }
  }
  EXPECT_TRUE(eigen);
  for (const char* key : {"jpeg_decoder", "png_decoder", "cpu_features", "threads"})
    EXPECT_TRUE(info.contains(key)) << key;
}

TEST(Programs, InfoIsJsonWhateverAPathHolds) {
  const TemporaryFolder folder;
  const std::string odd = folder / "\xFF";  // no UTF-8
  std::filesystem::create_directory(odd);
  write_text(odd + "/dcl_cuda.so", "no module");
  const Outcome outcome = run({app("dcl-info"), "--json"}, {{"DCL_BACKEND_PATH", odd}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(nlohmann::json::parse(outcome.out).at("backends")[0].at("reason"), "");
}

TEST(BadInput, Settings) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  expect_refused(tiny_run(dir, {"--batch_size", "1"}), 2, {"batch"});
  expect_refused(tiny_run(dir, {"--tau_plus", "nan"}), 2, {"tau_plus"});
  for (const char* tau : {"1", "-0.1", "1.5"})
    expect_refused(tiny_run(dir, {"--tau_plus", tau}), 2, {"tau_plus", "[0, 1)"});
  for (const char* t : {"0", "-1", "nan"}) expect_refused(tiny_run(dir, {"--temperature", t}), 2, {"temperature"});
  expect_refused(tiny_run(dir, {"--arch", "resnet19"}), 2, {"resnet19", "resnet18"});
  expect_refused(tiny_run(dir, {"--device", "abacus"}), 2, {"abacus"});
  expect_refused(tiny_run(dir, {"--dataset", "imagenet"}), 2, {"imagenet"});
  expect_refused(tiny_run(dir, {"--objective", "debased"}), 2, {"debased"});
  expect_refused(tiny_run(dir, {"--lr", "fast"}), 2, {"lr"});
  expect_refused(tiny_run(dir, {"--k", "0"}), 2, {"k"});
  EXPECT_FALSE(std::filesystem::exists(dir));
  expect_refused(tiny_run(dir, {"--batch_size", "31"}), 2, {"batch", "31", "30"});
  EXPECT_TRUE(std::filesystem::is_empty(dir + "/checkpoints"));
  expect_refused(tiny_run(folder / "tf32", {"--device", "eigen", "--dtype", "tf32"}), 4, {"eigen", "tf32", "bf16"});
}

TEST(BadInput, UnknownConfigKey) {
  const TemporaryFolder folder;
  write_text(folder / "c.toml", "batch_size = 8\ntau_pluss = 0.1\n");
  expect_refused({app("dcl-pretrain"), "--config", folder / "c.toml", "--run_dir", folder / "run"}, 2, {"tau_pluss"});
}

TEST(BadInput, InstructionSetOfNoName) {
  const Outcome plain = run({app("dcl-info")});
  if (plain.out.find("kernels for x86-64") == std::string::npos) GTEST_SKIP() << "kernels of one instruction set only";
  const Outcome odd = run({app("dcl-info")}, {{"DCL_MAX_ISA", "avx2"}});
  EXPECT_EQ(odd.exit_code, 0);
  EXPECT_EQ(odd.out, plain.out);
  EXPECT_EQ(odd.err,
            "warning: environment variable DCL_MAX_ISA: expected baseline, v3 or v4, got 'avx2': no limit is set\n");
}

TEST(BadInput, DataThatIsNotThere) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  const auto with = [&](const std::string& dataset, const std::string& data) {
    return std::vector<std::string>{app("dcl-pretrain"), "--dataset", dataset, "--data", data, "--run_dir", dir};
  };
  std::filesystem::create_directories(folder / "empty");
  expect_refused(with("folder", folder / "empty"), 3, {"empty"});
  std::filesystem::create_directories(folder / "stl");
  write_text(folder / "stl/unlabeled_X.bin", std::string(1000, 'x'));
  write_text(folder / "stl/train_X.bin", std::string(27648 * 2 + 5, 'x'));
  write_text(folder / "stl/train_y.bin", std::string(2, '\1'));
  expect_refused(with("stl10", folder / "stl"), 3, {".bin"});
}

TEST(BadInput, Models) {
  const TemporaryFolder folder;
  const auto knn = [&](const std::string& model) {
    return std::vector<std::string>{app("dcl-knn"), "--dataset",    "shapes", "--shapes_count", "30", "--shapes_size",
                                    "16",           "--model_path", model};
  };
  write_text(folder / "empty.safetensors", "");
  expect_refused(knn(folder / "empty.safetensors"), 3, {"empty.safetensors"});
  write_text(folder / "noise.safetensors", std::string(500, '\x7f'));
  expect_refused(knn(folder / "noise.safetensors"), 3, {"noise.safetensors"});
  write_text(folder / "model.pth", std::string("PK\3\4", 4) + std::string(100, 'x'));
  expect_refused(knn(folder / "model.pth"), 3, {"model.pth"});
  expect_refused(knn(folder / "absent.safetensors"), 3, {"absent.safetensors"});
  const std::string header = R"({"f.0.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::string other(8, '\0');
  other[0] = static_cast<char>(header.size());
  write_text(folder / "other.safetensors", other + header + std::string(4, '\0'));
  expect_refused(knn(folder / "other.safetensors"), 3, {"other.safetensors"});
  expect_refused({app("dcl-knn"), "--dataset", "shapes"}, 2, {"--model_path", "--untrained"});
}

TEST(BadInput, RunDirectoryThatCannotBeWritten) {
  const TemporaryFolder folder;
  write_text(folder / "file", "not a folder");
  expect_refused(tiny_run(folder / "file"), 5, {"file"});
  expect_refused(tiny_run("/proc/run"), 5, {"/proc/run"});
}

TEST(BadInput, PathsThatTheSystemRefusesAreNamedInPlainWords) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run", metrics = dir + "/metrics.csv", name(300, 'n');
  expect_refused(tiny_run(dir, {"--resume", name}), 5, {"error: '" + name + "': File name too long"});
  std::filesystem::create_directory(dir);
  std::filesystem::create_symlink("metrics.csv", metrics);
  expect_refused(tiny_run(dir), 5, {"error: '" + metrics + "': Too many levels of symbolic links"});
  std::filesystem::remove(metrics);
  write_text(metrics, "a,b\n1,2\n");
  expect_refused(tiny_run(dir), 3, {metrics, "no column named step", "move it elsewhere"});
}

}  // namespace
}  // namespace dcl::test
