#include "train/step_scalars.h"

#include <cmath>

namespace dcl {

void StepScalars::set(int64_t updates_done, double learning_rate, double beta1, double beta2) {
  const auto t = static_cast<double>(updates_done + 1);
  float values[kStepScalars];
  values[kLearningRate] = static_cast<float>(learning_rate);
  values[kBiasCorrection1] = static_cast<float>(1.0 - std::pow(beta1, t));
  values[kBiasCorrection2Sqrt] = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, t)));
  values[kApply] = 1;
  backend_.copy_in(buffer_.view({kStepScalars}, DType::f32), values);
}

}  // namespace dcl
