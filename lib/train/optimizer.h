// Adam (published), SGD with momentum and LARS over the parameter store. State is one or two buffers of the parameters'
// size; what changes every step lies in backend memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "train/step_scalars.h"

namespace dcl {

enum class OptimizerKind : uint8_t { adam, sgd, lars };

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::adam;
  double weight_decay = 1e-6;                     ///< L2, added to the gradient
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  ///< adam
  double momentum = 0.9;                          ///< sgd, lars
  bool nesterov = false;                          ///< sgd
  double trust = 0.001;                           ///< lars
};

std::string name_of(OptimizerKind kind);
/// "adam", "sgd" or "lars"; Error{usage} otherwise.
OptimizerKind optimizer_kind_of(const std::string& name);

class Optimizer {
 public:
  /// The store must outlive the optimizer.
  Optimizer(Backend& backend, ParameterStore& parameters, const OptimizerSettings& settings);

  /// Before the step: the numbers of the update that follows `updates_done` earlier ones (Adam's t - 1).
  void prepare(int64_t updates_done, double learning_rate);
  /// In the step: enqueues the update from the store's gradients. Nothing changes when the loss in `result` (of
  /// Backend::objective; none: it is known to be finite) is not finite.
  void update(ConstTensorRef result = {});

  /// State as flat buffers f32 [parameters' size] in the store's order, with PyTorch's names ("exp_avg", "exp_avg_sq",
  /// "momentum_buffer").
  struct State {
    std::string name;
    TensorRef values;
  };
  const std::vector<State>& state() const { return state_; }

 private:
  Backend& backend_;
  ParameterStore& parameters_;
  OptimizerSettings settings_;
  StepScalars scalars_;
  std::vector<Buffer> buffers_;
  std::vector<State> state_;
};

}  // namespace dcl
