// Names, order, shapes, initial values and layouts of the parameter store.
#include "nn/parameters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/registry.h"

namespace dcl {
namespace {

ModelConfig model(const std::string& arch, Stem stem = Stem::cifar, bool head = true) {
  ModelConfig config;
  config.arch = arch, config.stem = stem, config.head = head;
  return config;
}

class ParametersTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("eigen");
};

TEST_F(ParametersTest, CountsOfThePublishedModels) {
  struct Known {
    const char* arch;
    size_t tensors;
    int64_t parameters;
  };
  // Counted on tests/reference/published_model.py.
  for (const Known& known : {Known{"resnet18", 128, 11497664}, Known{"resnet34", 224, 21605824},
                             Known{"resnet50", 326, 24615616}, Known{"resnet101", 632, 43607744}}) {
    const std::vector<ParameterEntry> layout = parameter_layout(model(known.arch));
    EXPECT_EQ(layout.size(), known.tensors) << known.arch;
    EXPECT_EQ(ParameterStore(*backend_, model(known.arch), false).parameter_count(), known.parameters) << known.arch;
  }
}

TEST_F(ParametersTest, PublishedNamesOrderAndShapes) {
  const std::vector<ParameterEntry> layout = parameter_layout(model("resnet50"));
  const std::vector<std::string> first = {"f.0.weight",         "f.1.weight",      "f.1.bias",
                                          "f.1.running_mean",   "f.1.running_var", "f.1.num_batches_tracked",
                                          "f.3.0.conv1.weight", "f.3.0.bn1.weight"};
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(layout[i].name, first[i]);
  std::vector<std::string> last;
  for (size_t i = layout.size() - 8; i < layout.size(); ++i) last.push_back(layout[i].name);
  EXPECT_EQ(last, (std::vector<std::string>{"g.0.weight", "g.1.weight", "g.1.bias", "g.1.running_mean",
                                            "g.1.running_var", "g.1.num_batches_tracked", "g.3.weight", "g.3.bias"}));
  const ParameterStore store(*backend_, model("resnet50"), false);
  EXPECT_EQ(store.entry("f.0.weight").shape, (std::vector<int64_t>{64, 3, 3, 3}));
  EXPECT_EQ(store.entry("f.4.0.conv2.weight").shape, (std::vector<int64_t>{128, 128, 3, 3}));
  EXPECT_EQ(store.entry("f.4.0.downsample.0.weight").shape, (std::vector<int64_t>{512, 256, 1, 1}));
  EXPECT_EQ(store.entry("g.0.weight").shape, (std::vector<int64_t>{512, 2048}));
  EXPECT_TRUE(store.entry("f.6.2.bn3.num_batches_tracked").shape.empty());
  EXPECT_THROW(store.entry("fc.weight"), Error);
}

TEST_F(ParametersTest, ImageNetStemKeepsThePlaceOfTheMaxPool) {
  const ParameterStore store(*backend_, model("resnet18", Stem::imagenet), false);
  EXPECT_EQ(store.entry("f.0.weight").shape, (std::vector<int64_t>{64, 3, 7, 7}));
  EXPECT_NO_THROW(store.entry("f.4.0.conv1.weight"));
  EXPECT_NO_THROW(store.entry("f.7.1.bn2.weight"));
}

TEST_F(ParametersTest, TensorsDoNotOverlapAndTheTrunkIsAPrefix) {
  const std::vector<ParameterEntry> with = parameter_layout(model("resnet34"));
  const std::vector<ParameterEntry> without = parameter_layout(model("resnet34", Stem::cifar, false));
  ASSERT_LT(without.size(), with.size());
  for (size_t i = 0; i < without.size(); ++i) {
    EXPECT_EQ(without[i].name, with[i].name);
    EXPECT_EQ(without[i].offset, with[i].offset);
  }
  std::map<int64_t, const ParameterEntry*> values, statistics;
  for (const ParameterEntry& entry : with) {
    if (entry.kind == ParameterKind::batches_tracked) continue;
    EXPECT_EQ(entry.offset % 16, 0) << entry.name;
    auto& places = is_trainable(entry.kind) ? values : statistics;
    EXPECT_TRUE(places.emplace(entry.offset, &entry).second) << entry.name;
  }
  for (const auto& places : {values, statistics}) {
    int64_t end = 0;
    for (const auto& [offset, entry] : places) {
      EXPECT_GE(offset, end) << entry->name;
      end = offset + entry->size;
    }
  }
}

TEST_F(ParametersTest, ConvolutionsComeFirstWithoutGaps) {
  for (const char* arch : {"resnet18", "resnet50"}) {
    const std::vector<ParameterEntry> layout = parameter_layout(model(arch));
    const int64_t end = conv_weights_end(layout);
    int64_t sizes = 0;
    for (const ParameterEntry& entry : layout) {
      if (entry.kind == ParameterKind::conv_weight) sizes += entry.size;
      EXPECT_EQ(entry.kind == ParameterKind::conv_weight, is_trainable(entry.kind) && entry.offset < end) << entry.name;
    }
    EXPECT_EQ(sizes, end);
  }
}

TEST_F(ParametersTest, UnknownArchitectureIsAUsageError) {
  try {
    parameter_layout(model("resnet51"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("resnet51"), std::string::npos);
  }
}

struct Moments {
  double mean = 0, deviation = 0, fourth = 0, largest = 0;
};

Moments moments_of(const std::vector<float>& values) {
  Moments m;
  const double n = static_cast<double>(values.size());
  for (const float v : values) m.mean += v / n;
  for (const float v : values) {
    const double square = (v - m.mean) * (v - m.mean);
    m.deviation += square / n, m.fourth += square * square / n;
    m.largest = std::max(m.largest, std::abs(static_cast<double>(v)));
  }
  m.fourth /= m.deviation * m.deviation;
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST_F(ParametersTest, InitialValuesHaveThePublishedDistributions) {
  ParameterStore store(*backend_, model("resnet50"), false);
  store.initialise(3);
  const auto check = [&](const char* name, bool normal, double scale) {
    const std::vector<float> values = store.export_tensor(store.entry(name));
    const Moments m = moments_of(values);
    const double deviation = normal ? scale : scale / std::sqrt(3.0);
    const double error = 1 / std::sqrt(static_cast<double>(values.size()));
    EXPECT_NEAR(m.mean, 0, 5 * deviation * error) << name;
    EXPECT_NEAR(m.deviation / deviation, 1, 5 * error) << name;
    if (values.size() > 1000) {
      EXPECT_NEAR(m.fourth, normal ? 3 : 1.8, 50 * error) << name;
    }
    if (!normal) {
      EXPECT_LE(m.largest, scale * (1 + 1e-6)) << name;
    }
  };
  check("f.0.weight", false, 1 / std::sqrt(27.0));
  check("f.3.0.conv1.weight", true, std::sqrt(2.0 / 64));         // 64 out, 1x1
  check("f.4.1.conv2.weight", true, std::sqrt(2.0 / (128 * 9)));  // fan_out
  check("f.6.0.downsample.0.weight", true, std::sqrt(2.0 / 2048));
  check("g.0.weight", false, 1 / std::sqrt(2048.0));
  check("g.3.weight", false, 1 / std::sqrt(512.0));
  check("g.3.bias", false, 1 / std::sqrt(512.0));
  for (const ParameterEntry& entry : store.entries()) {
    if (entry.kind == ParameterKind::batches_tracked) {
      EXPECT_EQ(store.batches_tracked(entry), 0);
      continue;
    }
    if (entry.kind != ParameterKind::norm_weight && entry.kind != ParameterKind::norm_bias &&
        entry.kind != ParameterKind::running_mean && entry.kind != ParameterKind::running_var)
      continue;
    const bool one = entry.kind == ParameterKind::norm_weight || entry.kind == ParameterKind::running_var;
    for (const float v : store.export_tensor(entry)) ASSERT_EQ(v, one ? 1.0f : 0.0f) << entry.name;
  }
}

TEST_F(ParametersTest, CountersOfBatchesGoRound) {
  ParameterStore store(*backend_, model("resnet18", Stem::cifar, false), false);
  const ParameterEntry& counter = store.entry("f.1.num_batches_tracked");
  store.set_batches_tracked(counter, std::numeric_limits<int64_t>::max());
  store.count_batches(2, "f.");
  EXPECT_EQ(store.batches_tracked(counter), std::numeric_limits<int64_t>::min() + 1);
}

TEST_F(ParametersTest, TheImageNetStemIsInitialisedLikeTheTrunk) {
  ParameterStore store(*backend_, model("resnet18", Stem::imagenet, false), false);
  store.initialise(3);
  const Moments m = moments_of(store.export_tensor(store.entry("f.0.weight")));
  EXPECT_NEAR(m.deviation / std::sqrt(2.0 / (64 * 49)), 1, 0.05);
}

TEST_F(ParametersTest, SeedsDecideAndGapsStayZero) {
  ParameterStore a(*backend_, model("resnet18"), false), b(*backend_, model("resnet18"), false);
  a.initialise(1), b.initialise(1);
  const auto bytes = [](ParameterStore& store) {
    const float* data = store.values().as<float>();
    return std::vector<float>(data, data + store.values().shape.elements());
  };
  EXPECT_EQ(bytes(a), bytes(b));
  b.initialise(2);
  EXPECT_NE(bytes(a), bytes(b));
  double inside = 0, everywhere = 0;
  for (const float v : bytes(a)) everywhere += std::abs(static_cast<double>(v));
  for (const ParameterEntry& entry : a.entries())
    if (is_trainable(entry.kind))
      for (const float v : a.export_tensor(entry)) inside += std::abs(static_cast<double>(v));
  EXPECT_NEAR(inside, everywhere, 1e-9 * everywhere);
}

TEST_F(ParametersTest, ExchangesConvolutionsInTheOrderOfPyTorch) {
  ParameterStore store(*backend_, model("resnet18"), true);
  const ParameterEntry& entry = store.entry("f.4.0.conv1.weight");  // [128,64,3,3]
  std::vector<float> values(static_cast<size_t>(entry.size));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  store.import_tensor(entry, values, store.values());
  const float* stored = store.tensor(entry).as<float>();
  const auto at = [&](int k, int r, int s, int c) { return stored[((k * 3 + r) * 3 + s) * 64 + c]; };
  EXPECT_EQ(at(5, 2, 1, 7), values[static_cast<size_t>(((5 * 64 + 7) * 3 + 2) * 3 + 1)]);
  EXPECT_EQ(at(127, 0, 2, 63), values[static_cast<size_t>(((127 * 64 + 63) * 3 + 0) * 3 + 2)]);
  EXPECT_EQ(store.export_tensor(entry), values);
  store.import_tensor(entry, values, store.gradients());
  EXPECT_EQ(store.export_tensor(entry, store.gradients()), values);
  EXPECT_EQ(store.gradient(entry).as<float>()[1], values[9]);
}

}  // namespace
}  // namespace dcl
