// ONNX models as bytes: the parts a reader looks for, constants, folding, and refusal of what the format cannot hold.
#include "io/onnx.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "core/registry.h"
#include "support/process.h"
#include "support/proto_reader.h"
#include "train/onnx_export.h"

namespace dcl {
namespace {

using test::ProtoReader;

/// Reader of a file's bytes, which it keeps.
struct Model {
  explicit Model(const std::string& path) : bytes(test::read_text(path)), model(bytes), graph(model.message(7)) {}
  std::string bytes;
  ProtoReader model, graph;
};

TEST(OnnxGraph, WritesWhatWasPutTogether) {
  const test::TemporaryFolder folder;
  OnnxGraph graph("g");
  graph.input("x", {"N", 2});
  graph.node("Add", {"x", graph.constant("c", {2}, {1.5f, -2})}, "y");
  graph.node("Flatten", {"y"}, "z", {{"axis", 1}, {"some", std::vector<int64_t>{3, 4}}});
  graph.output("z", {"N", 2});
  graph.write(folder / "g.onnx", {{"key", "value"}});

  const Model file(folder / "g.onnx");
  EXPECT_EQ(file.model.integer(1), 7);
  EXPECT_EQ(file.model.text(2), "dcl");
  EXPECT_EQ(file.model.message(8).integer(2), 13);
  EXPECT_EQ(file.model.message(14).text(1) + "=" + file.model.message(14).text(2), "key=value");
  EXPECT_EQ(file.graph.text(2), "g");

  const auto nodes = file.graph.all(1);
  ASSERT_EQ(nodes.size(), 2u);
  const ProtoReader add(nodes[0].text), flatten(nodes[1].text);
  EXPECT_EQ(add.all(1)[0].text, "x");
  EXPECT_EQ(add.all(1)[1].text, "c");
  EXPECT_EQ(add.text(2) + add.text(4), "yAdd");
  const ProtoReader axis(flatten.all(5)[0].text), some(flatten.all(5)[1].text);
  EXPECT_EQ(axis.text(1), "axis");
  EXPECT_EQ(axis.integer(3), 1);
  EXPECT_EQ(axis.integer(20), 2);
  EXPECT_EQ(some.all(8)[1].value, 4u);
  EXPECT_EQ(some.integer(20), 7);

  const ProtoReader constant = file.graph.message(5);
  EXPECT_EQ(constant.text(8), "c");
  EXPECT_EQ(constant.integer(1), 2);
  EXPECT_EQ(constant.integer(2), 1);
  EXPECT_EQ(constant.values<float>(9), (std::vector<float>{1.5f, -2}));

  const ProtoReader type = file.graph.message(11).message(2).message(1);
  EXPECT_EQ(type.integer(1), 1);
  const ProtoReader shape = type.message(2);
  EXPECT_EQ(ProtoReader(shape.all(1)[0].text).text(2), "N");
  EXPECT_EQ(ProtoReader(shape.all(1)[1].text).integer(1), 2);
}

TEST(OnnxGraph, RefusesMoreThanTwoGigabytes) {
  const test::TemporaryFolder folder;
  OnnxGraph graph("g");
  graph.constant({"c", FileDType::f32, {int64_t{1} << 29}, [](const ByteSink&) { ADD_FAILURE() << "produced"; }});
  try {
    graph.write(folder / "g.onnx", {});
    FAIL() << "written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("2 GiB"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "g.onnx"));
}

TEST(OnnxGraph, RefusesConstantsOfOneName) {
  const test::TemporaryFolder folder;
  OnnxGraph graph("g");
  graph.constant("c", {1}, {1});
  graph.constant("c", {1}, {2});
  EXPECT_THROW(graph.write(folder / "g.onnx", {}), Error);
}

/// A store whose every value and statistic is its own.
ParameterStore filled_store(Backend& backend, const ModelConfig& config) {
  ParameterStore store(backend, config, /*with_gradients=*/false);
  store.initialise(3);
  for (const ParameterEntry& entry : store.entries()) {
    const bool norm = entry.kind == ParameterKind::norm_weight || entry.kind == ParameterKind::norm_bias ||
                      entry.kind == ParameterKind::running_mean || entry.kind == ParameterKind::running_var;
    if (!norm) continue;
    std::vector<float> values;
    for (int64_t i = 0; i < entry.size; ++i)
      values.push_back(0.5f + 0.25f * std::sin(static_cast<float>(i + entry.offset)));
    store.import_tensor(entry, values, is_trainable(entry.kind) ? store.values() : store.statistics());
  }
  return store;
}

class OnnxExport : public testing::Test {
 protected:
  /// The constants of an exported model by name.
  std::map<std::string, ProtoReader> constants(const Model& file) {
    std::map<std::string, ProtoReader> all;
    for (const auto& field : file.graph.all(5)) {
      ProtoReader tensor(field.text);
      all.emplace(tensor.text(8), tensor);
    }
    return all;
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  test::TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_ = make_backend("eigen");
};

TEST_F(OnnxExport, FoldsBatchNormInDouble) {
  const ParameterStore store = filled_store(*backend_, {.arch = "resnet18", .feature_dim = 8, .hidden_dim = 16});
  const size_t written = write_onnx(path("m.onnx"), store, {.head = true});
  const Model file(path("m.onnx"));
  const auto constant = constants(file);
  EXPECT_EQ(written, constant.size());
  for (const auto& [layer, norm] :
       {std::pair{"f.0", "f.1"}, {"f.5.0.downsample.0", "f.5.0.downsample.1"}, {"g.0", "g.1"}}) {
    const auto values = [&](const std::string& name) { return store.export_tensor(store.entry(name)); };
    const std::string prefix = norm;
    const auto gamma = values(prefix + ".weight"), beta = values(prefix + ".bias");
    const auto mean = values(prefix + ".running_mean"), var = values(prefix + ".running_var");
    const auto plain = values(std::string(layer) + ".weight");
    const auto weight = constant.at(std::string(layer) + ".weight").values<float>(9);
    const auto bias = constant.at(std::string(layer) + ".bias").values<float>(9);
    ASSERT_EQ(weight.size(), plain.size());
    ASSERT_EQ(bias.size(), gamma.size());
    for (size_t i = 0; i < weight.size(); ++i) {
      const size_t k = i / (weight.size() / gamma.size());
      const double scale = double{gamma[k]} / std::sqrt(double{var[k]} + 1e-5);
      ASSERT_EQ(weight[i], static_cast<float>(plain[i] * scale)) << layer << " " << i;
      ASSERT_EQ(bias[k], static_cast<float>(beta[k] - mean[k] * scale)) << layer << " " << k;
    }
  }
  EXPECT_EQ(constant.at("g.3.weight").values<float>(9), store.export_tensor(store.entry("g.3.weight")));
}

TEST_F(OnnxExport, NamesItsInputsAndOutputs) {
  const ParameterStore store = filled_store(*backend_, {.arch = "resnet18", .stem = Stem::imagenet, .head = false});
  write_onnx(path("m.onnx"), store);
  const Model file(path("m.onnx"));
  EXPECT_EQ(file.graph.message(11).text(1), "images");
  std::vector<std::string> outputs;
  for (const auto& field : file.graph.all(12)) outputs.push_back(ProtoReader(field.text).text(1));
  EXPECT_EQ(outputs, (std::vector<std::string>{"features", "normalized_features"}));
  // Every operand is known before it is read, and every result is new: what a checker asks of a graph.
  std::set<std::string_view> known = {"images"};
  for (const auto& [name, tensor] : constants(file)) EXPECT_TRUE(known.insert(tensor.one(8).text).second);
  for (const auto& field : file.graph.all(1)) {
    const ProtoReader node(field.text);
    for (const auto& operand : node.all(1)) EXPECT_TRUE(known.contains(operand.text)) << operand.text;
    EXPECT_TRUE(known.insert(node.one(2).text).second) << node.text(2);
  }
}

TEST_F(OnnxExport, SameStoreSameBytes) {
  const ParameterStore store = filled_store(*backend_, {.arch = "resnet18", .head = false});
  write_onnx(path("a.onnx"), store);
  write_onnx(path("b.onnx"), store);
  EXPECT_TRUE(test::read_text(path("a.onnx")) == test::read_text(path("b.onnx")));
}

}  // namespace
}  // namespace dcl
