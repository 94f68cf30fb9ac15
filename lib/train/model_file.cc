#include "train/model_file.h"

#include <algorithm>

#include "core/error.h"
#include "core/file.h"

namespace dcl {
namespace {

bool is_counter(const ParameterEntry& entry) { return entry.kind == ParameterKind::batches_tracked; }

TensorSource source_of(const ParameterStore& store, const ParameterEntry& entry, ConstTensorRef flat, std::string name) {
  return {std::move(name), FileDType::f32, entry.shape, [&store, &entry, flat](const ByteSink& sink) {
            const std::vector<float> values = store.export_tensor(entry, flat);
            sink(values.data(), values.size() * sizeof(float));
          }};
}

}  // namespace

ModelConfig model_config_of(const SafetensorsFile& file) {
  const auto refuse = [&](const std::string& why) {
    fail(ErrorKind::data, quoted(file.path()) + " holds no encoder of this project: " + why);
  };
  ModelConfig config;
  const FileTensor* stem = file.find("f.0.weight");
  if (!stem || stem->shape.size() != 4) refuse("no convolution weight 'f.0.weight'");
  config.stem = stem->shape[2] == 3 ? Stem::cifar : Stem::imagenet;
  const FileTensor* hidden = file.find("g.0.weight");
  const FileTensor* projection = file.find("g.3.weight");
  config.head = hidden && projection && hidden->shape.size() == 2 && projection->shape.size() == 2;
  if (config.head) {
    config.hidden_dim = hidden->shape[0];
    config.feature_dim = projection->shape[0];
    if (config.hidden_dim < 1 || config.feature_dim < 1) refuse("an empty projection head");
  }
  // The deepest first: the names of a shallower network are part of those of a deeper one.
  for (const char* arch : {"resnet101", "resnet50", "resnet34", "resnet18"}) {
    config.arch = arch;
    const auto layout = parameter_layout(config);
    if (std::all_of(layout.begin(), layout.end(), [&](const ParameterEntry& entry) { return file.find(entry.name); })) return config;
  }
  refuse("its tensors are not those of a ResNet-18, 34, 50 or 101");
  return config;
}

void import_model(const SafetensorsFile& file, ParameterStore& store) {
  std::vector<std::vector<float>> values(file.tensors().size());
  std::vector<StateTensor> state;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const FileTensor& tensor = file.tensors()[i];
    if (tensor.dtype == FileDType::i64) {
      const std::vector<int64_t> counter = file.read_i64(tensor.name);
      state.push_back({tensor.name, tensor.shape, {}, counter.empty() ? 0 : counter.front()});
    } else {
      values[i] = file.read_f32(tensor.name);
      state.push_back({tensor.name, tensor.shape, values[i]});
    }
  }
  try {
    store.import_state(state);
  } catch (const Error& error) {
    fail(error.kind(), quoted(file.path()) + ": " + error.what());
  }
}

std::vector<TensorSource> model_sources(const ParameterStore& store) {
  std::vector<TensorSource> sources;
  for (const ParameterEntry& entry : store.entries()) {
    if (is_counter(entry)) {
      sources.push_back({entry.name, FileDType::i64, {}, [&store, &entry](const ByteSink& sink) {
                           const int64_t count = store.batches_tracked(entry);
                           sink(&count, sizeof count);
                         }});
    } else {
      sources.push_back(source_of(store, entry, is_trainable(entry.kind) ? store.values() : store.statistics(), entry.name));
    }
  }
  return sources;
}

void append_flat_sources(const ParameterStore& store, ConstTensorRef flat, const std::string& prefix,
                         std::vector<TensorSource>& sources) {
  for (const ParameterEntry& entry : store.entries())
    if (is_trainable(entry.kind)) sources.push_back(source_of(store, entry, flat, prefix + entry.name));
}

void import_flat(const SafetensorsFile& file, const ParameterStore& store, const std::string& prefix, TensorRef flat) {
  for (const ParameterEntry& entry : store.entries()) {
    if (!is_trainable(entry.kind)) continue;
    const FileTensor& tensor = file.at(prefix + entry.name, entry.shape);
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    file.read(tensor, values);
    store.import_tensor(entry, values, flat);
  }
}

ParameterStore load_encoder(Backend& backend, const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  ModelConfig config = model_config_of(file);
  config.head = false;
  ParameterStore store(backend, config, /*with_gradients=*/false);
  import_model(file, store);
  return store;
}

ParameterStore untrained_encoder(Backend& backend, ModelConfig config, uint64_t seed) {
  config.head = false;
  ParameterStore store(backend, config, /*with_gradients=*/false);
  store.initialise(seed);
  return store;
}

}  // namespace dcl
