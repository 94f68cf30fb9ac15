// dcl-inspect: what it says of sound, foreign, damaged and dangerous files.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/event_file.h"
#include "io/npy.h"
#include "support/cli.h"
#include "support/random_model.h"

namespace dcl::test {
namespace {

using nlohmann::json;

class Inspect : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    write_random_model(model());
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string model() { return *folder_ / "model.safetensors"; }
  static Outcome inspect(const std::string& file, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {app("dcl-inspect"), file});
    return run(more);
  }
  static json json_of(const std::string& file, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {app("dcl-inspect"), file, "--json"});
    return test::json_of(more);
  }
  static std::string write(const std::string& name, const std::string& tensor, const std::vector<float>& values) {
    std::vector<TensorSource> sources;
    sources.push_back(tensor_source<float>(tensor, {static_cast<int64_t>(values.size())}, values));
    write_safetensors(*folder_ / name, std::move(sources), {}, /*checksums=*/false);
    return *folder_ / name;
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

TEST_F(Inspect, OneJsonObjectSaysWhatItIsAndWhoTakesIt) {
  const json report = json_of(model());
  EXPECT_EQ(report.at("format"), "safetensors");
  EXPECT_EQ(report.at("bytes"), std::filesystem::file_size(model()));
  EXPECT_EQ(report.at("model").at("arch"), "resnet18");
  EXPECT_EQ(report.at("model").at("stem"), "cifar");
  EXPECT_EQ(report.at("model").at("parameters"), 11497664);
  EXPECT_EQ(report.at("model").at("head").at("feature_dim"), 128);
  EXPECT_NE(report.at("used_by").dump().find("dcl-linear"), std::string::npos);
  EXPECT_EQ(report.at("metadata").at("dcl.step"), "7");
  ASSERT_EQ(report.at("tensors").size(), 128u);
  EXPECT_FALSE(report.at("tensors")[0].contains("norm")) << "values are read on request only";
}

TEST_F(Inspect, StatisticsAreThoseOfTheValues) {
  const json report = json_of(model(), {"--stats"});
  EXPECT_EQ(report.at("non_finite"), 0);
  EXPECT_EQ(report.at("batch_norm").at("layers"), 21);
  EXPECT_EQ(report.at("batch_norm").at("running_var"), (json{1.0, 1.0}));
  EXPECT_EQ(report.at("batch_norm").at("num_batches_tracked"), (json{7.0, 7.0}));
  const auto file = open_tensor_file(model());
  for (const json& row : report.at("tensors")) {
    const std::string name = row.at("name");
    EXPECT_EQ(row.at("xxh3_128"), file->metadata("dcl.xxh3/" + name));
    if (name == "f.1.weight") {
      EXPECT_EQ(row.at("norm"), 8.0) << "64 ones";
    }
  }
}

TEST_F(Inspect, NonFiniteValuesAreCounted) {
  const json report = json_of(write("nan.safetensors", "x", {1, std::nanf(""), -INFINITY}), {"--stats"});
  EXPECT_EQ(report.at("tensors")[0].at("nan"), 1);
  EXPECT_EQ(report.at("tensors")[0].at("infinite"), 1);
  EXPECT_EQ(report.at("non_finite"), 2);
}

TEST_F(Inspect, AFileWithoutEncoderSaysWhyNobodyTakesIt) {
  const json report = json_of(write("other.safetensors", "layer.weight", {1, 2}));
  EXPECT_TRUE(report.at("model").is_null());
  EXPECT_NE(report.at("no_model_because").get<std::string>().find("holds no ResNet"), std::string::npos);
  EXPECT_EQ(report.at("used_by"), json{"dcl-convert"});
}

TEST_F(Inspect, TableForPeople) {
  const Outcome outcome = inspect(model(), {"--stats"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* words :
       {"safetensors", "resnet18, cifar stem, head 512-128", "used by", "f.3.0.conv1.weight", "[64,64,3,3]", "XXH3-128",
        "running_var 1 to 1", "num_batches_tracked 7 to 7", "dcl.step = 7"})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words;
}

TEST_F(Inspect, NamesCannotDrawOnTheTerminal) {
  const Outcome outcome = inspect(write("escape.safetensors", "a\x1b[2Jb", {1}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
  EXPECT_NE(outcome.out.find("a\\x1b[2Jb"), std::string::npos) << outcome.out;
}

TEST_F(Inspect, OtherKindsAreNamed) {
  NpyWriter npy(*folder_ / "x.npy", NpyWriter::Type::f32, {2});
  npy.append(std::vector<float>{1, 2});
  npy.commit();
  EXPECT_EQ(json_of(*folder_ / "x.npy").at("format"), "a NumPy file of one array");
  ASSERT_EQ(run({app("dcl-convert"), model(), *folder_ / "x.onnx"}).exit_code, 0);
  EXPECT_EQ(json_of(*folder_ / "x.onnx").at("format"), "an ONNX model");
  EventFile events(folder_->path(), 0);
  events.text(0, "tag", "text");
  EXPECT_EQ(json_of(events.path().string()).at("format"), "a TensorBoard event file");
}

TEST_F(Inspect, DangerousAndDamagedFilesAreRefused) {
  // A legacy file whose object would call os.system when unpickled by Python.
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15),
      protocol("\x80\x02\x4d\xe9\x03\x2e", 6);
  std::string info("\x80\x02}(X\x10\0\0\0protocol_versionM\xe9\x03X\x0d\0\0\0little_endian\x88u.", 49);
  write_text(*folder_ / "evil.pth", magic + protocol + info +
                                        "\x80\x02"
                                        "cos\nsystem\nX\x04" +
                                        std::string(3, '\0') + "true\x85R.");
  const Outcome outcome = inspect(*folder_ / "evil.pth");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.out;
  EXPECT_NE(outcome.err.find("os.system"), std::string::npos) << outcome.err;

  write_text(*folder_ / "cut.safetensors", read_text(model()).substr(0, 100'000));
  EXPECT_EQ(inspect(*folder_ / "cut.safetensors").exit_code, 3);
  EXPECT_EQ(inspect(*folder_ / "absent").exit_code, 3);
  EXPECT_EQ(run({app("dcl-inspect")}).exit_code, 2);
}

}  // namespace
}  // namespace dcl::test
