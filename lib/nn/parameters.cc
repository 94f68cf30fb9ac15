#include "nn/parameters.h"

#include <algorithm>

#include "core/extent.h"
#include "nn/resnet.h"

namespace dcl {
namespace {

constexpr int64_t kAlignment = 16;  // floats: 64 bytes

int64_t aligned(int64_t count) { return round_up(count, kAlignment); }

/// Writes entries down in order and gives each its place.
class LayoutBuilder {
 public:
  void conv_norm(const ConvNormSpec& spec) {
    add(spec.conv + ".weight", ParameterKind::conv_weight, {spec.out, spec.in, spec.kernel, spec.kernel},
        {spec.out, spec.kernel, spec.kernel, spec.in});
    norm(spec.norm, spec.out);
  }
  void norm(const std::string& name, int64_t channels) {
    add(name + ".weight", ParameterKind::norm_weight, {channels}, {channels});
    add(name + ".bias", ParameterKind::norm_bias, {channels}, {channels});
    add(name + ".running_mean", ParameterKind::running_mean, {channels}, {channels});
    add(name + ".running_var", ParameterKind::running_var, {channels}, {channels});
    add(name + ".num_batches_tracked", ParameterKind::batches_tracked, {}, {});
  }
  void linear(const std::string& name, int64_t in, int64_t out, bool bias) {
    add(name + ".weight", ParameterKind::linear_weight, {out, in}, {out, in});
    if (bias) add(name + ".bias", ParameterKind::linear_bias, {out}, {out});
  }
  std::vector<ParameterEntry> take() {
    for (ParameterEntry& entry : entries_)
      if (is_trainable(entry.kind) && entry.kind != ParameterKind::conv_weight) entry.offset += convolutions_end_;
    return std::move(entries_);
  }

 private:
  void add(std::string name, ParameterKind kind, std::vector<int64_t> shape, Shape stored) {
    const int64_t size = stored.elements();
    int64_t& end = end_of(kind);
    entries_.push_back({std::move(name), kind, std::move(shape), stored, size, end});
    end += kind == ParameterKind::batches_tracked ? 1 : aligned(size);
  }

  int64_t& end_of(ParameterKind kind) {
    if (kind == ParameterKind::conv_weight) return convolutions_end_;
    if (kind == ParameterKind::batches_tracked) return counters_;
    return is_trainable(kind) ? others_end_ : statistics_end_;
  }

  std::vector<ParameterEntry> entries_;
  int64_t convolutions_end_ = 0, others_end_ = 0, statistics_end_ = 0, counters_ = 0;
};

}  // namespace

std::vector<ParameterEntry> parameter_layout(const ModelConfig& config) {
  const ResNetSpec spec = resnet_spec(config);
  LayoutBuilder layout;
  layout.conv_norm(spec.stem);
  for (const BlockSpec& block : spec.blocks) {
    for (const ConvNormSpec& unit : block.main) layout.conv_norm(unit);
    if (block.downsample) layout.conv_norm(*block.downsample);
  }
  if (config.head) {
    if (config.hidden_dim < 1 || config.feature_dim < 1)
      fail(ErrorKind::usage, "feature_dim and hidden_dim must be positive");
    layout.linear("g.0", spec.feature_width, config.hidden_dim, false);
    layout.norm("g.1", config.hidden_dim);
    layout.linear("g.3", config.hidden_dim, config.feature_dim, true);
  }
  return layout.take();
}

int64_t conv_weights_end(std::span<const ParameterEntry> layout) {
  int64_t end = 0;
  for (const ParameterEntry& entry : layout)
    if (entry.kind == ParameterKind::conv_weight) end = std::max(end, entry.offset + aligned(entry.size));
  return end;
}

ParameterStore::ParameterStore(Backend& backend, const ModelConfig& config, bool with_gradients)
    : backend_(&backend), config_(config), entries_(parameter_layout(config)) {
  int64_t values = 0, statistics = 0;
  size_t counters = 0;
  for (const ParameterEntry& entry : entries_) {
    if (entry.kind == ParameterKind::batches_tracked) {
      ++counters;
    } else if (is_trainable(entry.kind)) {
      parameter_count_ += entry.size;
      values = std::max(values, entry.offset + aligned(entry.size));
    } else {
      statistics = entry.offset + aligned(entry.size);
    }
  }
  counters_.resize(counters);
  values_ = Buffer(backend, static_cast<size_t>(values) * sizeof(float));
  if (with_gradients) gradients_ = Buffer(backend, values_.bytes());
  statistics_ = Buffer(backend, static_cast<size_t>(statistics) * sizeof(float));
}

void ParameterStore::require_model(const ModelConfig& config) const {
  const bool same_trunk = config.arch == config_.arch && config.stem == config_.stem;
  if (!(config == config_) && (config.head || !same_trunk))
    fail(ErrorKind::internal, "the parameter store is not of the plan's model");
}

const ParameterEntry& ParameterStore::entry(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name == name; });
  if (found == entries_.end()) fail(ErrorKind::internal, "the model has no tensor " + std::string(name));
  return *found;
}

TensorRef ParameterStore::view(const Buffer& buffer, const ParameterEntry& entry) {
  if (entry.kind == ParameterKind::batches_tracked) fail(ErrorKind::internal, entry.name + " is a counter");
  return buffer.view(entry.stored, DType::f32, static_cast<size_t>(entry.offset) * sizeof(float));
}

TensorRef ParameterStore::tensor(const ParameterEntry& entry) {
  return view(is_trainable(entry.kind) ? values_ : statistics_, entry);
}
ConstTensorRef ParameterStore::tensor(const ParameterEntry& entry) const {
  return view(is_trainable(entry.kind) ? values_ : statistics_, entry);
}
TensorRef ParameterStore::gradient(const ParameterEntry& entry) {
  if (!is_trainable(entry.kind)) fail(ErrorKind::internal, entry.name + " is not trained");
  return view(gradients_, entry);
}

int64_t ParameterStore::batches_tracked(const ParameterEntry& entry) const {
  if (entry.kind != ParameterKind::batches_tracked) fail(ErrorKind::internal, entry.name + " is not a counter");
  return counters_.at(static_cast<size_t>(entry.offset));
}

void ParameterStore::set_batches_tracked(const ParameterEntry& entry, int64_t batches) {
  if (entry.kind != ParameterKind::batches_tracked) fail(ErrorKind::internal, entry.name + " is not a counter");
  counters_.at(static_cast<size_t>(entry.offset)) = batches;
}

void ParameterStore::count_batches(int64_t batches, std::string_view prefix) {
  for (const ParameterEntry& entry : entries_) {
    if (entry.kind != ParameterKind::batches_tracked || !std::string_view(entry.name).starts_with(prefix)) continue;
    int64_t& counter = counters_[static_cast<size_t>(entry.offset)];
    // A file may hold any count: like PyTorch's, it goes round.
    counter = static_cast<int64_t>(static_cast<uint64_t>(counter) + static_cast<uint64_t>(batches));
  }
}

}  // namespace dcl
