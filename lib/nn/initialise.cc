// Initial values as published. Every output channel of every tensor has its own stream of random numbers, drawn in
// PyTorch's order of elements, so the values do not depend on threads or on our memory layout.
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "math/philox.h"
#include "nn/parameters.h"

namespace dcl {
namespace {

/// Standard normal numbers, in pairs (Box and Muller 1958).
class NormalStream {
 public:
  explicit NormalStream(const RandomStream& uniform) : uniform_(uniform) {}
  double next() {
    if (spare_used_) {
      const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_.uniform()));
      const double angle = 2.0 * std::numbers::pi * uniform_.uniform();
      spare_ = radius * std::sin(angle);
      spare_used_ = false;
      return radius * std::cos(angle);
    }
    spare_used_ = true;
    return spare_;
  }

 private:
  RandomStream uniform_;
  double spare_ = 0;
  bool spare_used_ = true;
};

/// Where a weight is drawn from: normal with deviation `scale`, or uniform in +-scale.
struct Distribution {
  bool normal = false;
  double scale = 0;
};

Distribution distribution_of(const ParameterEntry& entry, const ModelConfig& config) {
  const auto extent = [&](size_t axis) { return static_cast<double>(entry.shape[axis]); };
  if (entry.kind == ParameterKind::conv_weight) {
    const double window = extent(2) * extent(3);
    const bool replaced = entry.name == "f.0.weight" && config.stem == Stem::cifar;
    // kaiming_uniform(a = sqrt 5) is U(+-1/sqrt(fan_in)); kaiming_normal(fan_out, relu) has deviation sqrt(2/fan_out).
    if (replaced) return {false, 1 / std::sqrt(extent(1) * window)};
    return {true, std::sqrt(2 / (extent(0) * window))};
  }
  if (entry.kind == ParameterKind::linear_weight) return {false, 1 / std::sqrt(extent(1))};
  return {false, 1 / std::sqrt(static_cast<double>(config.hidden_dim))};  // bias of g.3: fan_in of its weight
}

std::vector<float> draw(const ParameterEntry& entry, uint32_t index, uint64_t seed, Distribution distribution) {
  std::vector<float> values(static_cast<size_t>(entry.size));
  const int64_t rows = entry.shape[0], row_size = entry.size / rows;
  parallel_for(rows, [&](int64_t row) {
    RandomStream uniform(seed, RandomPurpose::weight_init, static_cast<uint32_t>(row), index);
    NormalStream normal(uniform);
    float* out = values.data() + row * row_size;
    for (int64_t i = 0; i < row_size; ++i) {
      const double unit = distribution.normal ? normal.next() : uniform.uniform(-1, 1);
      out[i] = static_cast<float>(distribution.scale * unit);
    }
  });
  return values;
}

}  // namespace

void ParameterStore::initialise(uint64_t seed) {
  for (size_t index = 0; index < entries_.size(); ++index) {
    const ParameterEntry& entry = entries_[index];
    switch (entry.kind) {
      case ParameterKind::norm_weight:
      case ParameterKind::running_var:
        backend_->fill(tensor(entry), 1);
        break;
      case ParameterKind::norm_bias:
      case ParameterKind::running_mean:
        backend_->fill(tensor(entry), 0);
        break;
      case ParameterKind::batches_tracked:
        set_batches_tracked(entry, 0);
        break;
      default:
        import_tensor(entry, draw(entry, static_cast<uint32_t>(index), seed, distribution_of(entry, config_)),
                      values());
    }
  }
}

}  // namespace dcl
