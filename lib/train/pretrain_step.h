// One pretraining step: views -> embeddings -> objective -> gradients -> update. Allocates nothing after construction.
#pragma once

#include "data/loader.h"
#include "io/safetensors.h"
#include "nn/network.h"
#include "train/optimizer.h"
#include "train/pretrain_settings.h"

namespace dcl {

class PretrainStep {
 public:
  /// Freshly initialised weights from settings.seed.
  PretrainStep(Backend& backend, const PretrainSettings& settings);

  /// updates_done: earlier updates. When the loss is not finite, it is returned, and weights, running statistics and
  /// optimizer state are as before.
  ObjectiveReport run(const Batch& batch, int64_t updates_done, double learning_rate);

  /// After a loss that was not finite: what was the first not to be, in the order of computation.
  std::string first_non_finite() const;

  const ParameterStore& parameters() const { return parameters_; }

  /// What a checkpoint holds; the sources read this object when they are written.
  std::vector<TensorSource> model_tensors() const;
  std::vector<TensorSource> state_tensors() const;
  void load(const SafetensorsFile& model, const SafetensorsFile& state);

  /// Which of weights, running statistics and optimizer state are not finite; "" when all are.
  std::string non_finite_state() const;

 private:
  bool finite(ConstTensorRef flat) const;

  Backend& backend_;
  ParameterStore parameters_;
  TrainingPlan network_;
  ObjectiveDesc objective_;
  Buffer result_, labels_, workspace_, square_sum_, statistics_before_;
  Optimizer optimizer_;
};

}  // namespace dcl
