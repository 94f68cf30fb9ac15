#include "eigen/kernels/optimizers.h"

namespace dcl::kernels::DCL_ISA {
namespace {

void adam(const AdamCoefficients& coefficients, int64_t count, float* __restrict w, const float* __restrict g,
          float* __restrict m, float* __restrict v) {
  const AdamCoefficients c = coefficients;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) adam_element(c, w[i], g[i], m[i], v[i]);
}

template <bool Nesterov>
void sgd_run(const SgdCoefficients& coefficients, int64_t count, float* __restrict w, const float* __restrict g,
             float* __restrict velocity) {
  const SgdCoefficients c = coefficients;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sgd_element<Nesterov>(c, w[i], g[i], velocity[i]);
}

void sgd(const SgdCoefficients& c, bool nesterov, int64_t count, float* w, const float* g, float* velocity) {
  if (nesterov) return sgd_run<true>(c, count, w, g, velocity);
  sgd_run<false>(c, count, w, g, velocity);
}

void lars(const LarsCoefficients& coefficients, int64_t count, float* __restrict w, const float* __restrict g,
          float* __restrict velocity) {
  const LarsCoefficients c = coefficients;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) lars_element(c, w[i], g[i], velocity[i]);
}

}  // namespace

extern const OptimizerTable optimizers_table;
const OptimizerTable optimizers_table = {&adam, &sgd, &lars};

}  // namespace dcl::kernels::DCL_ISA
