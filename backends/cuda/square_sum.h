// Sums of squares of f32 values, in double, in an order that depends on the count alone.
#pragma once

#include "core/tensor.h"
#include "cuda/context.h"

namespace dcl::cuda {

/// Doubles of scratch memory that square_sum() needs for `count` values.
int64_t square_sum_scratch(int64_t count);
/// result[0] = sum of squares; all pointers in device memory.
void square_sum(Context&, const float* values, int64_t count, double* scratch, double* result);

void sum_of_squares(Context&, ConstTensorRef x, TensorRef result);

}  // namespace dcl::cuda
