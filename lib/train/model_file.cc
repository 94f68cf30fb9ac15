#include "train/model_file.h"

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"

namespace dcl {
namespace {

bool is_counter(const ParameterEntry& entry) { return entry.kind == ParameterKind::batches_tracked; }

TensorSource source_of(const ParameterStore& store, const ParameterEntry& entry, ConstTensorRef flat,
                       std::string name) {
  return {std::move(name), FileDType::f32, entry.shape, [&store, &entry, flat](const ByteSink& sink) {
            const std::vector<float> values = store.export_tensor(entry, flat);
            sink(values.data(), values.size() * sizeof(float));
          }};
}

/// Widths of a head that is not there mean nothing.
ModelConfig without_head(const ModelConfig& config) {
  return {.arch = config.arch, .stem = config.stem, .head = false};
}

}  // namespace

int64_t read_counter(const TensorFile& file, const FileTensor& tensor) {
  double value = 0;
  file.read(tensor, std::span(&value, 1));
  return value >= 0 && value < 0x1p53 ? static_cast<int64_t>(value) : 0;
}

StateMapping map_model(const TensorFile& file, const std::string& prefix, bool classifier) {
  try {
    return map_state(file.tensors(), prefix, classifier);
  } catch (const Error& error) {
    fail(error.kind(), quoted(file.path()) + ": " + error.what());
  }
}

void import_model(const TensorFile& file, const StateMapping& mapping, ParameterStore& store) {
  const ModelConfig& expected = store.config();
  if (!(expected.head ? mapping.config == expected : without_head(mapping.config) == without_head(expected)))
    fail(ErrorKind::data,
         quoted(file.path()) + " holds " + model_text(mapping.config) + ", expected " + model_text(expected));
  int64_t largest = 0;
  for (const ParameterEntry& entry : store.entries()) largest = std::max(largest, entry.size);
  const auto room = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(largest));
  for (size_t i = 0; i < store.entries().size(); ++i) {
    const ParameterEntry& entry = store.entries()[i];
    const FileTensor* source = mapping.tensors[i].source;
    if (is_counter(entry)) {
      store.set_batches_tracked(entry, source ? read_counter(file, *source) : 0);
    } else {
      const std::span<float> values(room.get(), static_cast<size_t>(entry.size));
      file.read(*source, values);
      store.import_tensor(entry, values, is_trainable(entry.kind) ? store.values() : store.statistics());
    }
  }
}

void import_model(const TensorFile& file, ParameterStore& store) { import_model(file, map_model(file), store); }

std::vector<TensorSource> model_sources(const ParameterStore& store) {
  std::vector<TensorSource> sources;
  for (const ParameterEntry& entry : store.entries()) {
    if (is_counter(entry)) {
      sources.push_back({entry.name, FileDType::i64, {}, [&store, &entry](const ByteSink& sink) {
                           const int64_t count = store.batches_tracked(entry);
                           sink(&count, sizeof count);
                         }});
    } else {
      sources.push_back(
          source_of(store, entry, is_trainable(entry.kind) ? store.values() : store.statistics(), entry.name));
    }
  }
  return sources;
}

void append_flat_sources(const ParameterStore& store, ConstTensorRef flat, const std::string& prefix,
                         std::vector<TensorSource>& sources) {
  for (const ParameterEntry& entry : store.entries())
    if (is_trainable(entry.kind)) sources.push_back(source_of(store, entry, flat, prefix + entry.name));
}

void import_flat(const TensorFile& file, const ParameterStore& store, const std::string& prefix, TensorRef flat) {
  for (const ParameterEntry& entry : store.entries()) {
    if (!is_trainable(entry.kind)) continue;
    const FileTensor& tensor = file.at(prefix + entry.name, entry.shape);
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    file.read(tensor, values);
    store.import_tensor(entry, values, flat);
  }
}

std::filesystem::path model_at(const std::filesystem::path& path) {
  std::error_code absent;
  const std::filesystem::path latest = path / "checkpoints" / "latest";
  return std::filesystem::exists(latest, absent) ? latest : path;
}

std::unique_ptr<TensorFile> open_model_file(const std::filesystem::path& given) {
  const std::filesystem::path path = model_at(given);
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored))
    fail(ErrorKind::data,
         quoted(path) + " is a folder without checkpoints/latest, expected a model file or a run directory");
  std::unique_ptr<TensorFile> file = open_tensor_file(path);
  log(LogLevel::info, file->notices());
  return file;
}

ParameterStore import_encoder(Backend& backend, const TensorFile& file, const StateMapping& mapping,
                              bool with_gradients) {
  ParameterStore store(backend, without_head(mapping.config), with_gradients);
  import_model(file, mapping, store);
  return store;
}

ParameterStore load_encoder(Backend& backend, const std::filesystem::path& path, const std::string& prefix,
                            bool with_gradients) {
  return load_encoder(backend, *open_model_file(path), prefix, with_gradients);
}

ParameterStore load_encoder(Backend& backend, const TensorFile& file, const std::string& prefix, bool with_gradients) {
  const StateMapping mapping = map_model(file, prefix);
  log(LogLevel::info, mapping.notices);
  return import_encoder(backend, file, mapping, with_gradients);
}

ParameterStore untrained_encoder(Backend& backend, const ModelConfig& config, uint64_t seed, bool with_gradients) {
  ParameterStore store(backend, without_head(config), with_gradients);
  store.initialise(seed);
  return store;
}

}  // namespace dcl
