// Optimizer steps over a run of elements: one pass over weights, gradients and state.
#pragma once

#include <cstdint>

#include "math/optimizers.h"

namespace dcl::kernels {

struct OptimizerTable {
  void (*adam)(const AdamCoefficients&, int64_t count, float* w, const float* g, float* m, float* v);
  void (*sgd)(const SgdCoefficients&, bool nesterov, int64_t count, float* w, const float* g, float* velocity);
  void (*lars)(const LarsCoefficients&, int64_t count, float* w, const float* g, float* velocity);
};

const OptimizerTable& optimizers();

}  // namespace dcl::kernels
