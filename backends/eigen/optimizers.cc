#include "eigen/kernels/optimizers.h"

#include <cmath>

#include "core/parallel.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
#include "eigen/reduce.h"

DCL_DISPATCH(OptimizerTable, optimizers)

namespace dcl {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements of one piece: its four arrays fit the second-level cache

}  // namespace

void EigenBackend::do_adam(const AdamDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m,
                           TensorRef v) {
  const float* step = scalars.as<float>();
  if (step[kApply] == 0) return;
  AdamCoefficients c{};
  c.beta1 = static_cast<float>(d.beta1), c.one_minus_beta1 = static_cast<float>(1 - d.beta1);
  c.beta2 = static_cast<float>(d.beta2), c.one_minus_beta2 = static_cast<float>(1 - d.beta2);
  c.eps = static_cast<float>(d.eps), c.weight_decay = static_cast<float>(d.weight_decay);
  c.step_size = step[kLearningRate] / step[kBiasCorrection1];
  c.bias_correction2_sqrt = step[kBiasCorrection2Sqrt];
  parallel_chunks(d.size, kGrain, [&](int64_t begin, int64_t end) {
    kernels::optimizers().adam(c, end - begin, w.as<float>() + begin, g.as<float>() + begin, m.as<float>() + begin,
                               v.as<float>() + begin);
  });
}

void EigenBackend::do_sgd(const SgdDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) {
  const float* step = scalars.as<float>();
  if (step[kApply] == 0) return;
  const SgdCoefficients c{step[kLearningRate], static_cast<float>(d.momentum), static_cast<float>(d.weight_decay)};
  parallel_chunks(d.size, kGrain, [&](int64_t begin, int64_t end) {
    kernels::optimizers().sgd(c, d.nesterov, end - begin, w.as<float>() + begin, g.as<float>() + begin,
                              velocity.as<float>() + begin);
  });
}

void EigenBackend::do_lars(const LarsDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g,
                           TensorRef velocity) {
  const float* step = scalars.as<float>();
  if (step[kApply] == 0) return;
  const double decay = d.adapt ? d.weight_decay : 0;
  double rate = static_cast<double>(step[kLearningRate]);
  if (d.adapt)
    rate *= lars_local_rate(d.trust, decay, std::sqrt(square_sum(w.as<float>(), d.size)),
                            std::sqrt(square_sum(g.as<float>(), d.size)));
  const LarsCoefficients c{static_cast<float>(rate), static_cast<float>(d.momentum), static_cast<float>(decay)};
  parallel_chunks(d.size, kGrain, [&](int64_t begin, int64_t end) {
    kernels::optimizers().lars(c, end - begin, w.as<float>() + begin, g.as<float>() + begin,
                               velocity.as<float>() + begin);
  });
}

void EigenBackend::do_guard_update(ConstTensorRef result, TensorRef scalars) {
  if (!std::isfinite(result.as<double>()[kLoss])) scalars.as<float>()[kApply] = 0;
}

}  // namespace dcl
