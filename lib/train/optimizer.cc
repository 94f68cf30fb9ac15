#include "train/optimizer.h"

#include "core/error.h"

namespace dcl {
namespace {

/// LARS leaves biases and batch norm alone.
bool adapts(ParameterKind kind) { return kind == ParameterKind::conv_weight || kind == ParameterKind::linear_weight; }

/// The entry's part of a flat buffer.
TensorRef part(TensorRef flat, const ParameterEntry& entry) {
  return tensor_of(flat.as<float>() + entry.offset, {entry.size});
}

}  // namespace

std::string name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adam:
      return "adam";
    case OptimizerKind::sgd:
      return "sgd";
    case OptimizerKind::lars:
      return "lars";
  }
  return "?";
}

OptimizerKind optimizer_kind_of(const std::string& name) {
  for (const auto kind : {OptimizerKind::adam, OptimizerKind::sgd, OptimizerKind::lars})
    if (name_of(kind) == name) return kind;
  fail(ErrorKind::usage, "unknown optimizer '" + name + "': expected adam, sgd or lars");
}

Optimizer::Optimizer(Backend& backend, ParameterStore& parameters, const OptimizerSettings& settings)
    : backend_(backend), parameters_(parameters), settings_(settings), scalars_(backend) {
  const std::vector<std::string> names = settings.kind == OptimizerKind::adam
                                             ? std::vector<std::string>{"exp_avg", "exp_avg_sq"}
                                             : std::vector<std::string>{"momentum_buffer"};
  const TensorRef values = parameters.values();
  for (const std::string& name : names) {
    buffers_.emplace_back(backend, values.bytes());
    state_.push_back({name, buffers_.back().view(values.shape, DType::f32)});
  }
}

void Optimizer::prepare(int64_t updates_done, double learning_rate) {
  scalars_.set(updates_done, learning_rate, settings_.beta1, settings_.beta2);
}

void Optimizer::update(ConstTensorRef result) {
  if (result.data) backend_.guard_update(result, scalars_.tensor());
  const TensorRef values = parameters_.values(), gradients = parameters_.gradients();
  const int64_t size = values.shape.elements();
  switch (settings_.kind) {
    case OptimizerKind::adam:
      backend_.adam({.size = size,
                     .beta1 = settings_.beta1,
                     .beta2 = settings_.beta2,
                     .eps = settings_.eps,
                     .weight_decay = settings_.weight_decay},
                    scalars_.tensor(), values, gradients, state_[0].values, state_[1].values);
      return;
    case OptimizerKind::sgd:
      backend_.sgd({.size = size,
                    .momentum = settings_.momentum,
                    .weight_decay = settings_.weight_decay,
                    .nesterov = settings_.nesterov},
                   scalars_.tensor(), values, gradients, state_[0].values);
      return;
    case OptimizerKind::lars:
      for (const ParameterEntry& entry : parameters_.entries()) {
        if (!is_trainable(entry.kind)) continue;
        backend_.lars({.size = entry.size,
                       .momentum = settings_.momentum,
                       .weight_decay = settings_.weight_decay,
                       .trust = settings_.trust,
                       .adapt = adapts(entry.kind)},
                      scalars_.tensor(), part(values, entry), part(gradients, entry), part(state_[0].values, entry));
      }
      return;
  }
}

}  // namespace dcl
