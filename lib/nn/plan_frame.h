// What the ops of a plan see of it while they run. Private to the plan.
#pragma once

#include <array>

#include "nn/plan.h"

namespace dcl {

/// What an op needs while it runs: turns operands into memory.
struct Plan::Frame {
  const Plan& plan;
  Backend& backend;
  ParameterStore* store;
  bool update_running;
  Accum gradients;

  TensorRef operator()(const Operand& operand) const {
    switch (operand.where) {
      case Operand::Where::none:
        return {};
      case Operand::Where::slot:
        return plan.tensor(operand);
      default:
        break;
    }
    ParameterStore& own = parameters();
    const ParameterEntry& entry = own.entries()[static_cast<size_t>(operand.index)];
    TensorRef tensor = operand.where == Operand::Where::parameter ? own.tensor(entry) : own.gradient(entry);
    tensor.shape = operand.shape;
    return tensor;
  }
  ParameterStore& parameters() const {
    if (!store) fail(ErrorKind::internal, "this plan needs a parameter store");
    return *store;
  }
  static TensorRef all_filters(TensorRef flat, int64_t count) { return {flat.data, {count}, DType::f32}; }
  NormOperands operands(const Norm& n) const {
    return {(*this)(n.x), (*this)(n.saved), (*this)(n.gamma), (*this)(n.beta)};
  }
  NormPair operands(const std::array<Norm, 2>& pair) const { return {operands(pair[0]), operands(pair[1])}; }
  NormGradients gradients_of(const Norm& n) const { return {(*this)(n.dx), (*this)(n.dgamma), (*this)(n.dbeta)}; }
  /// Nothing when it is to be left alone.
  TensorRef running(const Operand& statistic) const { return update_running ? (*this)(statistic) : TensorRef{}; }
  /// How an op writes to it.
  Accum accum(const Operand& result, Accum elsewhere = Accum::overwrite) const {
    return result.where == Operand::Where::gradient ? gradients : elsewhere;
  }
  Workspace workspace(const Operand& scratch) const {
    const size_t bytes = plan.lifetimes_[static_cast<size_t>(scratch.index)].bytes;
    return {bytes ? plan.tensor(scratch).data : nullptr, bytes};
  }
};

}  // namespace dcl
