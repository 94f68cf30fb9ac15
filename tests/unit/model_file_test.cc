// Models in files: what is written comes back, also from the names, types and wrappers of others.
#include "train/model_file.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/log.h"
#include "core/registry.h"
#include "io/safetensors.h"
#include "math/bfloat16.h"
#include "support/process.h"

namespace dcl {
namespace {

class ModelFileTest : public testing::Test {
 protected:
  ModelFileTest() : store_(*backend_, {.arch = "resnet18"}, false) {
    store_.initialise(5);
    store_.count_batches(7);
    store_.count_batches(3, "f.");
  }
  void TearDown() override { set_log_sink({}); }

  std::string write(std::vector<TensorSource> sources) {
    const std::string path = folder_ / "model.safetensors";
    write_safetensors(path, std::move(sources), {{"format", "pt"}});
    return path;
  }
  std::vector<float> values(const ParameterStore& store, const char* name) {
    return store.export_tensor(store.entry(name));
  }
  void expect_same_encoder(const ParameterStore& other) {
    for (const ParameterEntry& entry : other.entries()) {
      const ParameterEntry& own = store_.entry(entry.name);
      if (entry.kind == ParameterKind::batches_tracked)
        EXPECT_EQ(other.batches_tracked(entry), store_.batches_tracked(own)) << entry.name;
      else
        EXPECT_EQ(other.export_tensor(entry), store_.export_tensor(own)) << entry.name;
    }
  }

  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  ParameterStore store_;
  test::TemporaryFolder folder_;
};

TEST_F(ModelFileTest, GoesRound) {
  const std::string path = write(model_sources(store_));
  ParameterStore whole(*backend_, {.arch = "resnet18"}, false);
  import_model(*open_tensor_file(path), whole);
  EXPECT_EQ(whole.entries().size(), 128u);
  expect_same_encoder(whole);
  EXPECT_EQ(whole.batches_tracked(whole.entry("g.1.num_batches_tracked")), 7);

  const ParameterStore encoder = load_encoder(*backend_, path);
  EXPECT_EQ(encoder.entries().size(), 120u);
  EXPECT_EQ(encoder.batches_tracked(encoder.entry("f.1.num_batches_tracked")), 10);
  expect_same_encoder(encoder);
}

TEST_F(ModelFileTest, NamesOfOthersGiveTheSameEncoderAndAreSaid) {
  std::vector<TensorSource> sources = model_sources(store_);
  for (TensorSource& source : sources) source.name = "module." + source.name;
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view message) { said.emplace_back(message); });
  expect_same_encoder(load_encoder(*backend_, write(std::move(sources))));
  EXPECT_EQ(said, (std::vector<std::string>{"arch resnet18, CIFAR stem, head 512-128",
                                            "stripped prefix 'module.' from 128 keys"}));
}

TEST_F(ModelFileTest, AFileThatWasCastAsAWholeIsReadWithItsCounters) {
  std::vector<TensorSource> sources = model_sources(store_);
  for (TensorSource& source : sources) {
    const bool counter = source.dtype == FileDType::i64;
    source.produce = [produce = source.produce, counter](const ByteSink& sink) {
      produce([&](const void* data, size_t bytes) {
        std::vector<uint16_t> cast(bytes / (counter ? sizeof(int64_t) : sizeof(float)));
        for (size_t i = 0; i < cast.size(); ++i)
          cast[i] = bf16(counter ? static_cast<float>(static_cast<const int64_t*>(data)[i])
                                 : static_cast<const float*>(data)[i])
                        .bits;
        sink(cast.data(), cast.size() * sizeof(uint16_t));
      });
    };
    source.dtype = FileDType::bf16;
  }
  const ParameterStore read = load_encoder(*backend_, write(std::move(sources)));
  EXPECT_EQ(read.batches_tracked(read.entry("f.1.num_batches_tracked")), 10);
  const std::vector<float> expected = values(store_, "f.4.0.conv1.weight"), got = values(read, "f.4.0.conv1.weight");
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], static_cast<float>(bf16(expected[i])));
}

TEST_F(ModelFileTest, AnotherModelIsRefusedAndNamed) {
  const std::string path = write(model_sources(store_));
  for (const ModelConfig& config :
       {ModelConfig{.arch = "resnet34"}, ModelConfig{.arch = "resnet18", .feature_dim = 64}}) {
    ParameterStore other(*backend_, config, false);
    try {
      import_model(*open_tensor_file(path), other);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      const std::string text = error.what();
      EXPECT_NE(text.find("model.safetensors"), std::string::npos) << text;
      EXPECT_NE(text.find("holds " + model_text({.arch = "resnet18"}) + ", expected " + model_text(config)),
                std::string::npos)
          << text;
    }
  }
}

TEST_F(ModelFileTest, ErrorsNameTheFile) {
  std::vector<TensorSource> sources = model_sources(store_);
  sources.erase(sources.begin() + 3);
  try {
    load_encoder(*backend_, write(std::move(sources)));
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(
        text.find("model.safetensors': Error(s) in loading state_dict for resnet18: Missing key(s) in state_dict: "
                  "\"f.1.running_mean\"."),
        std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace dcl
