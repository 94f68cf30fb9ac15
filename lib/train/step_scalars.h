// The numbers of the optimizers that change every step, in backend memory (core/ops.h, StepScalar).
#pragma once

#include <memory>
#include <vector>

#include "core/backend.h"

namespace dcl {

class StepScalars {
 public:
  explicit StepScalars(Backend& backend);

  /// For the update that follows `updates_done` earlier ones: learning rate and Adam's bias corrections
  /// 1 - beta1^t and sqrt(1 - beta2^t), t = updates_done + 1, computed in double and rounded once. Enqueued, without
  /// waiting for the steps before unless kAhead of them are unfinished.
  void set(int64_t updates_done, double learning_rate, double beta1, double beta2);
  TensorRef tensor() const { return buffer_.view({kStepScalars}, DType::f32); }

 private:
  static constexpr size_t kAhead = 16;

  Backend& backend_;
  Buffer buffer_;
  HostBuffer host_;  // kAhead sets of scalars, used in turn
  std::vector<std::unique_ptr<Fence>> copied_;
  size_t next_ = 0;
};

}  // namespace dcl
