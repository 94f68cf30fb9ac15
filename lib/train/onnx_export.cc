#include "train/onnx_export.h"

#include "core/number.h"
#include "io/onnx.h"
#include "nn/fold.h"
#include "nn/resnet.h"

namespace dcl {
namespace {

using Names = std::vector<std::string>;

/// The smallest norm that F.normalize divides by.
constexpr float kSmallestNorm = 1e-12f;

class Exporter {
 public:
  Exporter(const ParameterStore& store, const OnnxOptions& options)
      : store_(store), spec_(resnet_spec(store.config())), graph_(store.config().arch) {
    if (options.head && !store.config().head) fail(ErrorKind::internal, "the model has no projection head");
    graph_.input("images", {"N", 3, "H", "W"});
    const std::string features = trunk(normalized_pixels(options.normalization));
    output("features", spec_.feature_width);
    unit_rows(features, "normalized_features");
    output("normalized_features", spec_.feature_width);
    if (options.head) {
      unit_rows(head(features), "embeddings");
      output("embeddings", store.config().feature_dim);
    }
    if (options.classifier) classifier(features, *options.classifier);
  }

  const OnnxGraph& graph() const { return graph_; }

 private:
  void output(std::string_view name, int64_t width) { graph_.output(name, {"N", width}); }

  std::string normalized_pixels(const Normalization& normalization) {
    const auto channels = [&](const char* name, const float(&values)[3]) {
      return graph_.constant(name, {1, 3, 1, 1}, {values, values + 3});
    };
    const std::string centered =
        graph_.node("Sub", {"images", channels("pixel_mean", normalization.mean)}, "centered_pixels");
    return graph_.node("Div", {centered, channels("pixel_std", normalization.std)}, "normalized_pixels");
  }

  std::string trunk(std::string x) {
    x = unit(spec_.stem, x, true);
    if (spec_.max_pool) {
      const MaxPoolDesc pool = stem_pool_desc({1, 1, 1, 1}, DType::f32);
      x = graph_.node("MaxPool", {x}, "max_pool",
                      {{"kernel_shape", pair(pool.window)}, {"pads", edges(pool.pad)}, {"strides", pair(pool.stride)}});
    }
    for (const BlockSpec& spec : spec_.blocks) x = block(spec, x);
    x = graph_.node("GlobalAveragePool", {x}, "average_pool");
    return graph_.node("Flatten", {x}, "features", {{"axis", 1}});
  }

  std::string block(const BlockSpec& spec, const std::string& x) {
    const std::string skipped = spec.downsample ? unit(*spec.downsample, x, false) : x;
    std::string y = x;
    for (const ConvNormSpec& part : spec.main) y = unit(part, y, &part != &spec.main.back());
    return relu(graph_.node("Add", {y, skipped}, y + ".add"));
  }

  std::string unit(const ConvNormSpec& spec, const std::string& x, bool with_relu) {
    const std::string y =
        graph_.node("Conv", {x, folded_weight(spec.conv, spec.norm), folded_bias(spec.conv, spec.norm)}, spec.conv,
                    {{"kernel_shape", pair(spec.kernel)}, {"pads", edges(spec.pad)}, {"strides", pair(spec.stride)}});
    return with_relu ? relu(y) : y;
  }

  std::string linear(const std::string& x, const Names& weight_and_bias, const char* name) {
    return graph_.node("Gemm", {x, weight_and_bias[0], weight_and_bias[1]}, name, {{"transB", 1}});
  }

  void classifier(const std::string& features, const LinearValues& values) {
    const int64_t classes = values.classes();
    const auto constant = [&](const char* name, std::vector<int64_t> shape, std::span<const float> data) {
      return graph_.constant(tensor_source(name, std::move(shape), data));
    };
    linear(features,
           {constant("fc.weight", {classes, spec_.feature_width}, values.weight),
            constant("fc.bias", {classes}, values.bias)},
           "logits");
    output("logits", classes);
  }

  std::string head(const std::string& features) {
    const std::string hidden = linear(features, {folded_weight("g.0", "g.1"), folded_bias("g.0", "g.1")}, "g.0");
    return linear(relu(hidden), {plain("g.3.weight"), plain("g.3.bias")}, "g.3");
  }

  std::string relu(const std::string& x) { return graph_.node("Relu", {x}, x + ".relu"); }

  std::string unit_rows(const std::string& x, const std::string& result) {
    const std::string norm =
        graph_.node("ReduceL2", {x}, result + ".norm", {{"axes", std::vector<int64_t>{1}}, {"keepdims", 1}});
    const std::string smallest = graph_.constant(result + ".smallest_norm", {1}, {kSmallestNorm});
    return graph_.node("Div", {x, graph_.node("Max", {norm, smallest}, result + ".divisor")}, result);
  }

  // Constants hold the store by reference: it outlives the exporter.

  std::string plain(const std::string& name) {
    const ParameterEntry& entry = store_.entry(name);
    return graph_.constant({name, FileDType::f32, entry.shape, [&store = store_, &entry](const ByteSink& sink) {
                              const std::vector<float> values = store.export_tensor(entry);
                              sink(values.data(), values.size() * sizeof(float));
                            }});
  }

  std::string folded_weight(const std::string& layer, const std::string& norm) {
    const ParameterEntry& entry = store_.entry(layer + ".weight");
    return graph_.constant(
        {entry.name, FileDType::f32, entry.shape, [&store = store_, &entry, norm](const ByteSink& sink) {
           std::vector<float> values = store.export_tensor(entry);
           scale_channels(values, norm_affine(store, norm).scale);
           sink(values.data(), values.size() * sizeof(float));
         }});
  }

  std::string folded_bias(const std::string& layer, const std::string& norm) {
    const std::vector<int64_t> shape = store_.entry(norm + ".bias").shape;
    return graph_.constant({layer + ".bias", FileDType::f32, shape, [&store = store_, norm](const ByteSink& sink) {
                              const NormAffine affine = norm_affine(store, norm);
                              const std::vector<float> values(affine.bias.begin(), affine.bias.end());
                              sink(values.data(), values.size() * sizeof(float));
                            }});
  }

  static std::vector<int64_t> pair(int64_t value) { return {value, value}; }
  static std::vector<int64_t> edges(int64_t value) { return {value, value, value, value}; }

  const ParameterStore& store_;
  ResNetSpec spec_;
  OnnxGraph graph_;
};

std::string list_text(const float (&values)[3]) {
  return number_text(values[0]) + "," + number_text(values[1]) + "," + number_text(values[2]);
}

}  // namespace

size_t write_onnx(const std::filesystem::path& path, const ParameterStore& store, const OnnxOptions& options) {
  FileMetadata metadata = options.metadata;
  metadata["dcl.arch"] = store.config().arch;
  metadata["dcl.stem"] = name_of(store.config().stem);
  metadata["dcl.input"] = "images: RGB, channels first, pixel / 255; the normalisation is part of the model";
  metadata["dcl.mean"] = list_text(options.normalization.mean);
  metadata["dcl.std"] = list_text(options.normalization.std);
  const Exporter exporter(store, options);
  exporter.graph().write(path, metadata);
  return exporter.graph().constants();
}

}  // namespace dcl
