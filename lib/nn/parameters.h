// Owner of everything a checkpoint of the model holds: trainable values, their gradients, running statistics, counters.
// The layout is a function of ModelConfig alone; the trunk comes first, so a model without head has a prefix of it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "nn/model_config.h"

namespace dcl {

enum class ParameterKind : uint8_t {
  conv_weight,
  linear_weight,
  linear_bias,
  norm_weight,
  norm_bias,
  running_mean,
  running_var,
  batches_tracked,  ///< host counter
};

constexpr bool is_trainable(ParameterKind kind) { return kind <= ParameterKind::norm_bias; }

struct ParameterEntry {
  std::string name;  ///< published: f.0.weight, f.3.0.conv1.weight, g.0.weight ...
  ParameterKind kind;
  std::vector<int64_t> shape;  ///< PyTorch's: [K,C,R,S], [O,I], [C]; empty for a counter
  Shape stored;                ///< ours: [K,R,S,C] for convolutions, else the same
  int64_t size = 1;            ///< elements
  /// Elements from the start of values() and gradients(), or of statistics(); of a counter, its place among them.
  int64_t offset = 0;
};

/// Elements at the start of values() that hold the weights of all convolutions, and nothing else: they have no gaps,
/// since their sizes are multiples of 16 (of 64 channels and more).
int64_t conv_weights_end(std::span<const ParameterEntry> layout);

/// Entries in the published order (state_dict of the published model): 326 for ResNet-50 with head.
std::vector<ParameterEntry> parameter_layout(const ModelConfig& config);

class ParameterStore {
 public:
  /// Values are zero until initialise() or import. Gradients take as much memory as values.
  ParameterStore(Backend& backend, const ModelConfig& config, bool with_gradients);

  Backend& backend() const { return *backend_; }
  const ModelConfig& config() const { return config_; }
  /// Throws Error{internal} unless this is a store of model `config`, or the same with a head that `config` leaves out.
  void require_model(const ModelConfig& config) const;
  std::span<const ParameterEntry> entries() const { return entries_; }
  /// Throws Error{internal} when there is none.
  const ParameterEntry& entry(std::string_view name) const;
  /// Trainable scalars: 24,615,616 for ResNet-50 with the published head.
  int64_t parameter_count() const { return parameter_count_; }

  /// Flat f32 [n]: every trainable tensor at its offset, 64-byte aligned, convolutions first; the gaps are zero and
  /// stay zero under every optimizer (their gradients are zero), so whole-buffer ops may run over them.
  TensorRef values() { return flat(values_); }
  ConstTensorRef values() const { return flat(values_); }
  /// Same layout as values(); null data without gradients.
  TensorRef gradients() { return flat(gradients_); }
  ConstTensorRef gradients() const { return flat(gradients_); }
  /// Running means and variances, flat f32.
  TensorRef statistics() { return flat(statistics_); }
  ConstTensorRef statistics() const { return flat(statistics_); }

  /// The tensor of an entry inside values() or statistics(), in stored shape; entries of kind batches_tracked have
  /// none.
  TensorRef tensor(const ParameterEntry& entry);
  ConstTensorRef tensor(const ParameterEntry& entry) const;
  TensorRef gradient(const ParameterEntry& entry);

  int64_t batches_tracked(const ParameterEntry& entry) const;
  /// Every counter whose name starts with `prefix` grows by `batches`.
  void count_batches(int64_t batches, std::string_view prefix = "");

  /// As torchvision and the published code (model.py): kaiming_normal fan_out for the trunk's convolutions, PyTorch's
  /// default for the replaced first convolution and the head, gamma 1, beta 0, running statistics 0 and 1, counters 0.
  void initialise(uint64_t seed);

  /// Values of an entry in PyTorch's layout; `flat` is values(), gradients() or another buffer of that layout (an
  /// optimizer's state), or statistics() for an entry that is not trainable.
  std::vector<float> export_tensor(const ParameterEntry& entry, ConstTensorRef flat) const;
  void import_tensor(const ParameterEntry& entry, std::span<const float> values, TensorRef flat) const;
  /// The entry's own values (f32 kinds).
  std::vector<float> export_tensor(const ParameterEntry& entry) const;
  void set_batches_tracked(const ParameterEntry& entry, int64_t batches);

 private:
  static TensorRef flat(const Buffer& buffer) {
    return {buffer.data(), {static_cast<int64_t>(buffer.bytes() / sizeof(float))}, DType::f32};
  }
  static TensorRef view(const Buffer& buffer, const ParameterEntry& entry);

  Backend* backend_;
  ModelConfig config_;
  std::vector<ParameterEntry> entries_;
  std::vector<int64_t> counters_;
  int64_t parameter_count_ = 0;
  Buffer values_, gradients_, statistics_;
};

}  // namespace dcl
