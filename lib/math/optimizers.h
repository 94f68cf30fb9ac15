// One element of an optimizer step, as torch.optim.Adam and SGD compute it in f32; LARS as You et al. 2017.
#pragma once

#include "math/host_device.h"

namespace dcl {

/// Adam with coupled L2 decay; eps is added after the bias correction of the second moment.
struct AdamCoefficients {
  float beta1, beta2, one_minus_beta1, one_minus_beta2, eps, weight_decay;
  float step_size;              ///< learning rate / (1 - beta1^step)
  float bias_correction2_sqrt;  ///< sqrt(1 - beta2^step)
};

DCL_HD void adam_element(const AdamCoefficients& c, float& w, float g, float& m, float& v) {
  const float gradient = g + c.weight_decay * w;
  m = m * c.beta1 + c.one_minus_beta1 * gradient;
  v = v * c.beta2 + c.one_minus_beta2 * gradient * gradient;
  const float denominator = __builtin_sqrtf(v) / c.bias_correction2_sqrt + c.eps;
  w -= c.step_size * (m / denominator);
}

/// SGD with momentum, dampening 0, coupled L2 decay.
struct SgdCoefficients {
  float learning_rate, momentum, weight_decay;
};

template <bool Nesterov>
DCL_HD void sgd_element(const SgdCoefficients& c, float& w, float g, float& velocity) {
  const float gradient = g + c.weight_decay * w;
  velocity = c.momentum * velocity + gradient;
  w -= c.learning_rate * (Nesterov ? gradient + c.momentum * velocity : velocity);
}

/// LARS (You, Gitman, Ginsburg 2017, algorithm 1): the learning rate is inside the velocity.
struct LarsCoefficients {
  float rate;  ///< learning rate * local rate
  float momentum, weight_decay;
};

/// trust |w| / (|g| + weight_decay |w|); 1 where a norm is 0, so that a tensor of zeros can start to move.
DCL_HD double lars_local_rate(double trust, double weight_decay, double w_norm, double g_norm) {
  if (w_norm == 0 || g_norm == 0) return 1;
  return trust * w_norm / (g_norm + weight_decay * w_norm);
}

DCL_HD void lars_element(const LarsCoefficients& c, float& w, float g, float& velocity) {
  velocity = c.momentum * velocity + c.rate * (g + c.weight_decay * w);
  w -= velocity;
}

}  // namespace dcl
