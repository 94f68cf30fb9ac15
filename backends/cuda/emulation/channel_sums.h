// What cuDNN's statistics are, for the planner without it.
#pragma once

#include "core/tensor.h"
#include "cuda/context.h"

namespace dcl::cuda {

/// Sums of y and of its squares over all but its last extent; y f32 or bf16.
void channel_sums(Context&, ConstTensorRef y, float* sum, float* square_sum);

}  // namespace dcl::cuda
