// Classifiers in files: what is written comes back, also from the names and wrappers of others.
#include "train/classifier_file.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/log.h"
#include "core/registry.h"
#include "io/safetensors.h"
#include "support/process.h"
#include "train/model_file.h"

namespace dcl {
namespace {

class ClassifierFile : public testing::Test {
 protected:
  ClassifierFile() : encoder_(*backend_, {.arch = "resnet18", .head = false}, false) {
    encoder_.initialise(5);
    linear_.weight.resize(3 * 512), linear_.bias = {0.5f, -1, 2};
    std::iota(linear_.weight.begin(), linear_.weight.end(), -700.0f);
  }
  void TearDown() override { set_log_sink({}); }

  std::string path() const { return folder_ / "classifier.safetensors"; }
  /// The encoder's tensors and these, under `prefix`.
  std::string write(const std::string& prefix, const std::vector<std::string>& modules, FileMetadata metadata = {}) {
    std::vector<TensorSource> sources = model_sources(encoder_);
    for (TensorSource& source : sources) source.name = prefix + source.name;
    for (const std::string& module : modules) {
      sources.push_back(tensor_source(module + ".weight", {3, 512}, std::span<const float>(linear_.weight)));
      sources.push_back(tensor_source(module + ".bias", {3}, std::span<const float>(linear_.bias)));
    }
    write_safetensors(path(), std::move(sources), std::move(metadata));
    return path();
  }
  void expect_refused(const std::string& file, ErrorKind kind, const std::string& words) {
    try {
      load_classifier(*backend_, file);
      ADD_FAILURE() << "expected: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }

  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  ParameterStore encoder_;
  LinearValues linear_;
  test::TemporaryFolder folder_;
};

TEST(EvalSize, IsThatOfTheFileWhereItIsANumber) {
  const auto of = [](const std::string& text) { return eval_size_for(0, {{std::string(kEvalSizeKey), text}}); };
  EXPECT_EQ(of("96"), 96);
  for (const char* text : {"", "0", "-96", "96 pixels", "4097", "99999999999999999999"}) EXPECT_EQ(of(text), 0) << text;
  EXPECT_EQ(eval_size_for(32, {{std::string(kEvalSizeKey), "96"}}), 32);
  EXPECT_EQ(eval_size_for(0, {}), 0);
}

TEST_F(ClassifierFile, GoesRoundWithNamesOfAnyKind) {
  write_classifier(path(), encoder_, linear_, {"a, b", "quoted \" name\nof two lines", "\xff\xfe"},
                   {{std::string(kEvalSizeKey), "96"}});
  const Classifier read = load_classifier(*backend_, path());
  EXPECT_TRUE(read.named);
  EXPECT_EQ(read.classes, (std::vector<std::string>{"a, b", "quoted \" name\nof two lines", "\\xff\\xfe"}));
  EXPECT_EQ(read.linear.weight, linear_.weight);
  EXPECT_EQ(read.linear.bias, linear_.bias);
  EXPECT_EQ(read.metadata.find(kEvalSizeKey)->second, "96");
  const ParameterEntry& entry = encoder_.entry("f.0.weight");
  EXPECT_EQ(read.encoder.export_tensor(read.encoder.entry("f.0.weight")), encoder_.export_tensor(entry));
  EXPECT_EQ(load_encoder(*backend_, path()).entries().size(), 120u) << "an encoder as any other";
}

TEST_F(ClassifierFile, IsFoundWhereverModulesAroundTheEncoderHoldIt) {
  for (const auto& [prefix, module] : {std::pair<std::string, std::string>{"", "fc"},
                                       {"module.", "module.fc"},
                                       {"net.backbone.", "net.classifier"},
                                       {"net.backbone.", "linear"}}) {
    const Classifier read = load_classifier(*backend_, write(prefix, {module}));
    EXPECT_EQ(read.linear.weight, linear_.weight) << module;
    EXPECT_FALSE(read.named);
    EXPECT_EQ(read.classes, (std::vector<std::string>{"0", "1", "2"}));
  }
}

TEST_F(ClassifierFile, NamesOfAnotherNumberOfClassesAreNotTaken) {
  std::vector<std::string> said;
  set_log_sink([&](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning) said.emplace_back(message);
  });
  EXPECT_FALSE(load_classifier(*backend_, write("", {"fc"}, {{std::string(kClassesKey), "a,b"}})).named);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("2 names for 3 classes"), std::string::npos) << said[0];
}

TEST(NormalizationOfAFile, IsPublishedWhereNoneIsNamedAndAnErrorWhereAnUnknownOneIs) {
  const std::string key(kNormalizationKey);
  EXPECT_EQ(normalization_for("auto", {}), "published");
  EXPECT_EQ(normalization_for("auto", {{key, "half"}}), "half");
  EXPECT_THROW(normalization_for("auto", {{key, "of tomorrow"}}), Error);
  EXPECT_EQ(normalization_for("none", {{key, "of tomorrow"}}), "none");
}

TEST_F(ClassifierFile, WithoutOneClassifierItIsRefused) {
  expect_refused(write("", {}), ErrorKind::data, "not one classifier on its 512 features");
  expect_refused(write("", {"fc", "linear"}), ErrorKind::data, "not one classifier");
  expect_refused(write("a.", {"b.fc"}), ErrorKind::data, "not one classifier");
  linear_.weight[7] = std::numeric_limits<float>::infinity();
  expect_refused(write("", {"fc"}), ErrorKind::numerical, "not finite");
}

}  // namespace
}  // namespace dcl
