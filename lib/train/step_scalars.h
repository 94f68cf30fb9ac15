// The numbers of the optimizers that change every step, in backend memory (core/ops.h, StepScalar).
#pragma once

#include "core/backend.h"

namespace dcl {

class StepScalars {
 public:
  explicit StepScalars(Backend& backend) : backend_(backend), buffer_(backend, kStepScalars * sizeof(float)) {}

  /// For the update that follows `updates_done` earlier ones: learning rate and Adam's bias corrections
  /// 1 - beta1^t and sqrt(1 - beta2^t), t = updates_done + 1, computed in double and rounded once.
  void set(int64_t updates_done, double learning_rate, double beta1, double beta2);
  ConstTensorRef tensor() const { return buffer_.view({kStepScalars}, DType::f32); }

 private:
  Backend& backend_;
  Buffer buffer_;
};

}  // namespace dcl
