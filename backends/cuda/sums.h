// Sums over rows and over everything; contracts at Backend. Cut into pieces that depend on the shape alone.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void column_sum(Context&, ConstTensorRef x, TensorRef sums, Accum);
void sum_of_squares(Context&, ConstTensorRef x, TensorRef result);

/// Doubles of scratch memory that square_sum() needs for `count` values.
int64_t square_sum_scratch(int64_t count);
/// result[0] = sum of squares of f32 values, in double; all pointers in device memory.
void square_sum(Context&, const float* values, int64_t count, double* scratch, double* result);

}  // namespace dcl::cuda
