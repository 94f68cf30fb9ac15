#include "train/step_scalars.h"

#include <cmath>

namespace dcl {

StepScalars::StepScalars(Backend& backend)
    : backend_(backend),
      buffer_(backend, kStepScalars * sizeof(float)),
      host_(backend, kAhead * kStepScalars * sizeof(float)) {
  for (size_t i = 0; i < kAhead; ++i) copied_.push_back(backend.make_fence());
}

void StepScalars::set(int64_t updates_done, double learning_rate, double beta1, double beta2) {
  const auto t = static_cast<double>(updates_done + 1);
  const size_t slot = next_++ % kAhead;
  copied_[slot]->wait();
  float* values = reinterpret_cast<float*>(host_.data()) + slot * kStepScalars;
  values[kLearningRate] = static_cast<float>(learning_rate);
  values[kBiasCorrection1] = static_cast<float>(1.0 - std::pow(beta1, t));
  values[kBiasCorrection2Sqrt] = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, t)));
  values[kApply] = 1;
  backend_.enqueue_in(tensor(), values);
  copied_[slot]->record();
}

}  // namespace dcl
